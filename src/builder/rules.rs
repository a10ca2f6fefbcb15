//! Routes, checked one by one and against each other.

use http::{HeaderName, HeaderValue};

use crate::error::{Problem, ProblemKind};
use crate::grant::FRAMING_HEADERS;
use crate::partner::Environment;
use crate::route::{Conflict, Origin, Policy, Route, RouteTable, Template, shown};
use crate::scope::Scope;

/// The routes as they are checked and compiled, one rule each.
#[derive(Default)]
pub(super) struct Rules {
    pub(super) table: RouteTable,
    pub(super) list: Vec<Rule>,
}

pub(super) struct Rule {
    name: String,
    pub(super) scope: Scope,
    pub(super) policy: Policy,
    standing: Standing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Given by the user.
    Explicit,
    /// A row of the environment.
    Preset,
}

impl Rules {
    /// Adds the environment's routes. A bad origin is one problem, however many routes are on it.
    pub(super) fn add_environment(
        &mut self,
        environment: &Environment,
        problems: &mut Vec<Problem>,
    ) {
        let mut good = true;
        for origin in environment.all_origins() {
            if let Err(clause) = place(origin) {
                let message = format!("the environment's origin \"{}\" {clause}", shown(origin));
                problems.push(Problem::new(ProblemKind::Route, message).at("environment"));
                good = false;
            }
        }
        for route in environment.routes().filter(|_| good) {
            self.add(&route, Standing::Preset, problems);
        }
    }

    pub(super) fn add(&mut self, route: &Route, standing: Standing, problems: &mut Vec<Problem>) {
        let mut fault = |kind, key: &str, clause: &str| {
            let problem = Problem::new(kind, format!("the route \"{route}\" {clause}"));
            problems.push(match &route.path {
                Some(path) => problem.at(format!("{path}{key}")),
                None => problem,
            });
        };
        let place = place(&route.url).map_err(|clause| fault(ProblemKind::Route, ".url", &clause));
        let header = check_header(&route.policy.header)
            .map_err(|clause| fault(ProblemKind::Route, ".header", &clause));
        let scheme = check_scheme(&route.policy.scheme)
            .map_err(|clause| fault(ProblemKind::Route, ".scheme", &clause));
        let bad_scope = |error| format!("has a bad scope: {error}");
        let scope = route
            .scope
            .as_ref()
            .map_err(|error| fault(ProblemKind::Scope, ".scope", &bad_scope(error)));
        let (Ok((origin, template)), Ok(()), Ok(()), Ok(scope)) = (place, header, scheme, scope)
        else {
            return;
        };
        let index = self.list.len();
        match self.table.insert(origin, route.method.clone(), &template, index) {
            Ok(()) => self.list.push(Rule {
                name: route.to_string(),
                scope: scope.clone(),
                policy: route.policy.clone(),
                standing,
            }),
            Err(Conflict(index)) => {
                let known = &self.list[index];
                let same = known.scope == *scope && known.policy.agrees_with(&route.policy);
                let overridden =
                    standing == Standing::Preset && known.standing == Standing::Explicit;
                if !same && !overridden {
                    fault(
                        ProblemKind::Conflict,
                        "",
                        &format!(
                            "(scope {:?}) contradicts the route \"{}\" (scope {:?}): they match the same requests, remove one",
                            scope.as_str(),
                            known.name,
                            known.scope.as_str(),
                        ),
                    );
                }
            }
        }
    }

    /// The scheme words of all policies, the default one included, without duplicates.
    pub(super) fn schemes(&self) -> Vec<String> {
        let mut schemes = vec![Policy::default().scheme];
        for rule in &self.list {
            if !schemes.contains(&rule.policy.scheme) {
                schemes.push(rule.policy.scheme.clone());
            }
        }
        schemes
    }
}

fn place(url: &str) -> Result<(Origin, Template), String> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err("has no origin: write it as https://host/path".to_owned());
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let origin = Origin::parse(scheme, authority)?;
    let template = Template::parse(if path.is_empty() { "/" } else { path })?;
    Ok((origin, template))
}

fn check_header(header: &HeaderName) -> Result<(), String> {
    if FRAMING_HEADERS.contains(header) {
        return Err(format!(
            "cannot carry its token in the header {:?}: use another",
            header.as_str()
        ));
    }
    Ok(())
}

fn check_scheme(scheme: &str) -> Result<(), String> {
    if scheme.trim() != scheme || HeaderValue::from_str(scheme).is_err() {
        return Err(format!(
            "has the bad scheme {scheme:?}: use a word like \"Bearer\", without spaces around it, or \"\" for none"
        ));
    }
    Ok(())
}
