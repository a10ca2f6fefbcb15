//! The route table: from a request's method and URI to what its route says.
//!
//! One radix tree of path bytes per origin. A node is visited at most once in a lookup, because a tree
//! has one path to each node; so a lookup is linear in the table at worst, and in the path as a rule.
//! It allocates nothing.

use http::{Method, Uri};

use super::origin::Origin;
use super::origins::Origins;
use super::template::{Part, Template, after_plain_segment, is_plain_path};

/// Routes, compiled for lookup. Entries are numbered in the order they came.
#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    origins: Origins,
    /// By the numbers of the origins.
    roots: Vec<Node>,
}

/// A route with the same origin, method and template is in the table already, at this index.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Conflict(pub(crate) usize);

#[derive(Debug, Default)]
struct Node {
    /// What the path goes on with to come here. Empty at a root, and after a parameter.
    text: Box<[u8]>,
    /// The first byte of each child's text.
    firsts: Vec<u8>,
    children: Vec<Node>,
    // These two begin a segment: they are only where the text before them ends in a slash.
    parameter: Option<Box<Node>>,
    catch_all: Leaf,
    here: Leaf,
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
        let number = self.origins.add(&origin);
        if number == self.roots.len() {
            self.roots.push(Node::default());
        }
        self.roots[number].place(&template.parts()).insert(method, index)
    }

    /// The number of the route that a request belongs to.
    pub(crate) fn find(&self, method: &Method, uri: &Uri) -> Option<usize> {
        let root = &self.roots[self.origins.find(uri)?];
        let path = uri.path().as_bytes();
        root.find(method, path.strip_suffix(b"/").unwrap_or(path))
    }

    /// Whether a token may go to `uri` at all: a route names its origin, and its path is plain.
    pub(crate) fn allows(&self, uri: &Uri) -> bool {
        self.origins.find(uri).is_some() && is_plain_path(uri.path().as_bytes())
    }
}

impl Node {
    /// The place of a template in the tree, made where it is missing.
    fn place(&mut self, parts: &[Part]) -> &mut Leaf {
        match parts.split_first() {
            None => &mut self.here,
            Some((Part::CatchAll, _)) => &mut self.catch_all,
            Some((Part::Parameter, rest)) => self.parameter.get_or_insert_default().place(rest),
            Some((Part::Text(text), rest)) => self.grow(text.as_bytes()).place(rest),
        }
    }

    /// The node that `text` leads to from here.
    fn grow(&mut self, text: &[u8]) -> &mut Node {
        let Some(first) = text.first() else { return self };
        let at = match self.firsts.iter().position(|known| known == first) {
            Some(at) => at,
            None => {
                self.firsts.push(*first);
                self.children.push(Node { text: text.into(), ..Node::default() });
                self.children.len() - 1
            }
        };
        let child = &mut self.children[at];
        let common = child.text.iter().zip(text).take_while(|(one, other)| one == other).count();
        if common < child.text.len() {
            child.split(common);
        }
        child.grow(&text[common..])
    }

    /// Makes what is here a child of a shorter text.
    fn split(&mut self, at: usize) {
        let mut child = std::mem::take(self);
        self.text = child.text[..at].into();
        child.text = child.text[at..].into();
        self.firsts = vec![child.text[0]];
        self.children = vec![child];
    }

    /// `path` is what is left of it.
    ///
    /// Literals are plain, or no template would have them: only what stands for a parameter or a
    /// catch-all has to be looked at.
    fn find(&self, method: &Method, mut path: &[u8]) -> Option<usize> {
        let mut node = self;
        loop {
            let Some(first) = path.first() else { return node.here.find(method) };
            // Each step falls back to the next: a literal that leads nowhere must not hide a
            // parameter.
            if let Some((child, rest)) = node.child(*first, path) {
                if !node.begins_a_segment() {
                    (node, path) = (child, rest);
                    continue;
                }
                if let Some(found) = child.find(method, rest) {
                    return Some(found);
                }
            }
            let rest = after_plain_segment(path)?;
            let Some(parameter) = &node.parameter else { return node.catch(method, rest) };
            if node.catch_all.is_empty() {
                (node, path) = (parameter, rest);
                continue;
            }
            return parameter.find(method, rest).or_else(|| node.catch(method, rest));
        }
    }

    /// Whether something of any name may stand here.
    fn begins_a_segment(&self) -> bool {
        self.parameter.is_some() || !self.catch_all.is_empty()
    }

    /// The catch-all's route; `rest` is what follows the first of its segments.
    fn catch(&self, method: &Method, rest: &[u8]) -> Option<usize> {
        self.catch_all.find(method).filter(|_| is_plain_path(rest))
    }

    fn child<'a>(&self, first: u8, path: &'a [u8]) -> Option<(&Node, &'a [u8])> {
        let at = self.firsts.iter().position(|known| *known == first)?;
        let child = &self.children[at];
        Some((child, path.strip_prefix(&*child.text)?))
    }
}

impl Leaf {
    fn is_empty(&self) -> bool {
        self.methods.is_empty() && self.any.is_none()
    }

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
    fn a_literal_that_leads_nowhere_hides_no_parameter() {
        let table = Fixture::new(&["GET https://a.test/m/docs", "GET https://a.test/m/{id}/x"]);
        assert_eq!(table.find("GET https://a.test/m/docs/x"), Some("GET https://a.test/m/{id}/x"));
    }

    #[test]
    fn nothing_stands_for_an_empty_segment() {
        let table =
            Fixture::new(&["GET https://a.test/m/{id}/docs", "GET https://a.test/x/{*rest}"]);
        assert_eq!(table.find("GET https://a.test/m//docs"), None);
        assert_eq!(table.find("GET https://a.test/x//docs"), None);
        assert_eq!(table.find("GET https://a.test/x//"), None);
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
    fn origins_whose_names_are_equally_long_are_told_apart() {
        let table =
            Fixture::new(&["GET https://c.test/", "GET https://a.test/", "GET https://b.test/"]);
        for host in ["a.test", "b.test", "c.test"] {
            let route = format!("GET https://{host}/");
            assert_eq!(table.find(&route), Some(&*route));
            let shouted = format!("GET https://{}/", host.to_ascii_uppercase());
            assert_eq!(table.find(&shouted), Some(&*route));
        }
        assert_eq!(table.find("GET https://d.test/"), None);
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
