//! The route table: from a request's method and URI to what its route says.
//!
//! One tree of path segments per origin. Every node is visited at most once in a lookup, because a
//! tree has one path to each node; so a lookup is linear in the table at worst, and in the path as
//! a rule. It allocates nothing.

use http::{Method, Uri};

use super::origin::Origin;
use super::template::{Segment, Template, is_plain_path};

/// Routes, compiled for lookup. Entries are numbered in the order they came.
#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    origins: Vec<(Origin, Node)>,
}

/// A route with the same origin, method and template is in the table already, at this index.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Conflict(pub(crate) usize);

#[derive(Debug, Default)]
struct Node {
    // Sorted, for binary search.
    literals: Vec<(Box<str>, Node)>,
    parameter: Option<Box<Node>>,
    here: Leaf,
    catch_all: Leaf,
}

/// The routes that end at one place of the tree, one per method.
#[derive(Debug, Default)]
struct Leaf {
    methods: Vec<(Method, usize)>,
    any: Option<usize>,
}

impl RouteTable {
    /// Adds a route under the number `index`.
    pub(crate) fn insert(
        &mut self,
        origin: Origin,
        method: Option<Method>,
        template: &Template,
        index: usize,
    ) -> Result<(), Conflict> {
        let root = match self.origins.iter().position(|(known, _)| *known == origin) {
            Some(at) => &mut self.origins[at].1,
            None => {
                self.origins.push((origin, Node::default()));
                &mut self.origins.last_mut().expect("just pushed").1
            }
        };
        root.leaf_mut(&template.segments).insert(method, index)
    }

    /// The number of the route that a request belongs to.
    pub(crate) fn find(&self, method: &Method, uri: &Uri) -> Option<usize> {
        let root = self.root_for(uri)?;
        let path = uri.path();
        if !is_plain_path(path) {
            return None;
        }
        match path.strip_prefix('/')? {
            "" => root.find(method, None),
            relative => root.find(method, Some(relative.strip_suffix('/').unwrap_or(relative))),
        }
    }

    /// Whether a token may go to `uri` at all: a route names its origin, and its path is plain.
    pub(crate) fn allows(&self, uri: &Uri) -> bool {
        self.root_for(uri).is_some() && is_plain_path(uri.path())
    }

    fn root_for(&self, uri: &Uri) -> Option<&Node> {
        let (_, root) = self.origins.iter().find(|(origin, _)| origin.is_of(uri))?;
        Some(root)
    }
}

impl Node {
    fn leaf_mut(&mut self, segments: &[Segment]) -> &mut Leaf {
        match segments.split_first() {
            None => &mut self.here,
            Some((Segment::CatchAll(_), _)) => &mut self.catch_all,
            Some((Segment::Parameter(_), rest)) => {
                self.parameter.get_or_insert_default().leaf_mut(rest)
            }
            Some((Segment::Literal(literal), rest)) => {
                let at = match self.literals.binary_search_by(|(known, _)| known.cmp(literal)) {
                    Ok(at) => at,
                    Err(at) => {
                        self.literals.insert(at, (literal.clone(), Node::default()));
                        at
                    }
                };
                self.literals[at].1.leaf_mut(rest)
            }
        }
    }

    /// `path` is what is left of it, without a leading slash; `None` at its end.
    fn find(&self, method: &Method, path: Option<&str>) -> Option<usize> {
        let Some(path) = path else {
            return self.here.find(method);
        };
        // Segments are short: a plain loop finds their end sooner than a search made for long texts.
        let (segment, rest) = match path.bytes().position(|b| b == b'/') {
            Some(end) => (&path[..end], Some(&path[end + 1..])),
            None => (path, None),
        };
        if segment.is_empty() {
            return None;
        }
        // Each step falls back to the next: a literal that leads nowhere must not hide a parameter.
        self.literal(segment)
            .and_then(|node| node.find(method, rest))
            .or_else(|| self.parameter.as_ref()?.find(method, rest))
            .or_else(|| self.catch_all.find(method))
    }

    fn literal(&self, segment: &str) -> Option<&Node> {
        let at = self.literals.binary_search_by(|(known, _)| (**known).cmp(segment)).ok()?;
        Some(&self.literals[at].1)
    }
}

impl Leaf {
    fn insert(&mut self, method: Option<Method>, index: usize) -> Result<(), Conflict> {
        let known = match &method {
            Some(method) => self.exact(method),
            None => self.any,
        };
        if let Some(known) = known {
            return Err(Conflict(known));
        }
        match method {
            Some(method) => self.methods.push((method, index)),
            None => self.any = Some(index),
        }
        Ok(())
    }

    fn find(&self, method: &Method) -> Option<usize> {
        self.exact(method).or(self.any)
    }

    fn exact(&self, method: &Method) -> Option<usize> {
        let (_, index) = self.methods.iter().find(|(known, _)| known == method)?;
        Some(*index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of "METHOD url" lines, looked up by the same form.
    struct Fixture {
        routes: Vec<&'static str>,
        table: RouteTable,
    }

    impl Fixture {
        fn new(routes: &[&'static str]) -> Self {
            let mut table = RouteTable::default();
            for (index, route) in routes.iter().enumerate() {
                let (origin, method, template) = parse(route);
                table.insert(origin, method, &template, index).unwrap();
            }
            Self { routes: routes.to_vec(), table }
        }

        fn find(&self, request: &str) -> Option<&'static str> {
            let (method, uri) = request.split_once(' ').unwrap();
            let found = self.table.find(&method.parse().unwrap(), &uri.parse().unwrap())?;
            Some(self.routes[found])
        }
    }

    fn parse(route: &str) -> (Origin, Option<Method>, Template) {
        let (method, url) = route.split_once(' ').unwrap();
        let (scheme, rest) = url.split_once("://").unwrap();
        let (authority, path) = rest.split_at(rest.find('/').unwrap());
        let method = (method != "any").then(|| method.parse().unwrap());
        (Origin::parse(scheme, authority).unwrap(), method, Template::parse(path).unwrap())
    }

    #[test]
    fn literals_beat_parameters_beat_catch_alls() {
        let table = Fixture::new(&[
            "GET https://a.test/m/{id}/docs/{doc}",
            "GET https://a.test/m/{id}/docs/required",
            "GET https://a.test/m/docs/info",
            "GET https://a.test/m/{*rest}",
            "any https://a.test/{*all}",
        ]);
        for (request, route) in [
            ("GET https://a.test/m/7/docs/9", "GET https://a.test/m/{id}/docs/{doc}"),
            ("GET https://a.test/m/7/docs/required", "GET https://a.test/m/{id}/docs/required"),
            ("GET https://a.test/m/docs/info", "GET https://a.test/m/docs/info"),
            // The literal `docs` leads nowhere here: fall back to the parameter, then the catch-all.
            ("GET https://a.test/m/docs/docs/9", "GET https://a.test/m/{id}/docs/{doc}"),
            ("GET https://a.test/m/docs/other", "GET https://a.test/m/{*rest}"),
            ("GET https://a.test/m", "any https://a.test/{*all}"),
            ("POST https://a.test/m/7/docs/9", "any https://a.test/{*all}"),
        ] {
            assert_eq!(table.find(request), Some(route), "{request}");
        }
        assert_eq!(table.find("GET https://a.test/"), None, "a catch-all needs a segment");
    }

    #[test]
    fn the_method_is_part_of_the_key() {
        let table = Fixture::new(&[
            "POST https://a.test/links",
            "GET https://a.test/links",
            "PUT https://a.test/links/{id}",
            "POST https://a.test/links/special",
            "GET https://a.test/links/{id}",
            "any https://a.test/links/special",
        ]);
        assert_eq!(table.find("POST https://a.test/links"), Some("POST https://a.test/links"));
        assert_eq!(table.find("GET https://a.test/links"), Some("GET https://a.test/links"));
        assert_eq!(table.find("DELETE https://a.test/links"), None);
        assert_eq!(
            table.find("POST https://a.test/links/special"),
            Some("POST https://a.test/links/special"),
            "the method beats any method"
        );
        assert_eq!(
            table.find("GET https://a.test/links/special"),
            Some("any https://a.test/links/special"),
            "but a literal for any method beats a parameter"
        );
    }

    #[test]
    fn one_trailing_slash_makes_no_difference_and_two_do() {
        let table = Fixture::new(&["GET https://a.test/links/", "GET https://a.test/"]);
        assert!(table.find("GET https://a.test/links").is_some());
        assert!(table.find("GET https://a.test/links/").is_some());
        assert!(table.find("GET https://a.test").is_some());
        assert!(table.find("GET https://a.test/links?page=2").is_some());
        assert_eq!(table.find("GET https://a.test/links//"), None);
        assert_eq!(table.find("GET https://a.test//links"), None);
        assert_eq!(table.find("GET https://a.test//"), None);
    }

    #[test]
    fn ambiguous_paths_and_foreign_origins_never_match() {
        let table = Fixture::new(&["any https://a.test/{*all}"]);
        assert!(table.find("GET https://a.test/x/y").is_some());
        for request in [
            "GET https://a.test/x/../y",
            "GET https://a.test/x/%2e%2e/y",
            "GET https://a.test/x%2Fy",
            "GET https://a.test/x%5cy",
            "GET https://b.test/x/y",
            "GET http://a.test/x/y",
            "GET https://a.test:8443/x/y",
            "GET https://u:p@a.test/x/y",
            "GET /x/y",
            "OPTIONS *",
        ] {
            assert_eq!(table.find(request), None, "{request}");
        }
    }

    #[test]
    fn the_same_key_twice_is_a_conflict_whatever_the_parameter_is_called() {
        let mut table = RouteTable::default();
        let (origin, method, template) = parse("GET https://a.test/m/{id}");
        table.insert(origin, method, &template, 0).unwrap();
        let (origin, method, template) = parse("GET https://A.TEST:443/m/{mid}/");
        assert_eq!(table.insert(origin, method, &template, 1), Err(Conflict(0)));
        let (origin, method, template) = parse("any https://a.test/m/{id}");
        assert_eq!(table.insert(origin, method, &template, 2), Ok(()));
    }
}
