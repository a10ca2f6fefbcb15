//! The README's table of other crates' types in the public API, held to what rustdoc finds there.
//!
//! Rustdoc's JSON is unstable: that is why this is not a test like the others.

use std::collections::BTreeSet;
use std::process::Command;
use std::{env, fs, path::Path};

use serde_json::Value;

const README: &str = include_str!("../README.md");

/// A crate, and the last segment of a type's path.
type Types = BTreeSet<(String, String)>;

#[test]
#[ignore = "needs a rustdoc that writes JSON"]
fn the_readme_lists_the_types_of_other_crates_in_the_public_api() {
    let (listed, found) = (listed(), found(&documentation()));
    assert!(!listed.is_empty(), "the table was found");
    let only_in = |one: &Types, other| one.difference(other).cloned().collect::<Vec<_>>();
    assert_eq!(only_in(&found, &listed), [], "not in the README's table");
    assert_eq!(only_in(&listed, &found), [], "in the README's table alone");
}

fn listed() -> Types {
    let (_, table) = README.split_once("| Crate | Types |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let words = |line: &'static str| line.split('`').skip(1).step_by(2);
    rows.flat_map(|row| {
        let name = words(row).next().unwrap();
        words(row).skip(1).map(move |ty| (name.to_owned(), ty.to_owned()))
    })
    .collect()
}

fn documentation() -> Value {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("foreign-types");
    let rustdoc = Command::new(env::var_os("CARGO").unwrap())
        .env("RUSTC_BOOTSTRAP", "1")
        .args(["rustdoc", "--quiet", "--lib", "--all-features", "--target-dir"])
        .arg(&target)
        .args(["--", "-Z", "unstable-options", "--output-format", "json"])
        .status();
    assert!(rustdoc.unwrap().success());
    let json = fs::read(target.join("doc/tower_partner_auth.json")).unwrap();
    serde_json::from_slice(&json).unwrap()
}

fn found(documentation: &Value) -> Types {
    let mut types = Types::new();
    for item in documentation["index"].as_object().unwrap().values() {
        let implementation = &item["inner"]["impl"];
        // What the compiler and `impl<T> … for T` give to every type.
        let of_every_type =
            implementation["is_synthetic"] == true || !implementation["blanket_impl"].is_null();
        if item["crate_id"] == 0 && !of_every_type {
            gather(&item["inner"], documentation, &mut types);
        }
    }
    types
}

/// Every path to an item of another crate, however deep in a type.
fn gather(value: &Value, documentation: &Value, types: &mut Types) {
    match value {
        Value::Object(members) => {
            if let (Some(id), true) = (members.get("id"), members.contains_key("args")) {
                types.extend(foreign(id, documentation));
            }
            members.values().for_each(|member| gather(member, documentation, types));
        }
        Value::Array(values) => {
            values.iter().for_each(|value| gather(value, documentation, types));
        }
        _ => {}
    }
}

fn foreign(id: &Value, documentation: &Value) -> Option<(String, String)> {
    let item = &documentation["paths"][id.to_string()];
    let number = item["crate_id"].as_u64().filter(|number| *number != 0)?;
    let name = documentation["external_crates"][number.to_string()]["name"].as_str()?;
    let name = match name {
        // The standard library, and what a macro of this name writes into a `where` clause of `Unpin`.
        "core" | "alloc" | "std" | "pin_project_lite" => return None,
        // Where serde keeps its traits.
        "serde_core" => "serde",
        name => name,
    };
    let ty = item["path"].as_array()?.last()?.as_str()?;
    Some((name.replace('_', "-"), ty.to_owned()))
}
