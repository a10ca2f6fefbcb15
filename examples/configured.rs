//! A layer whose configuration is in a file: `examples/partner-auth.toml`, or the one that is named.
//!
//! ```text
//! PARTNER_CLIENT_SECRET=s3cret cargo run --example configured --features config
//! ```

use std::error::Error;
use std::{env, fs};

use tower_partner_auth::Config;

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args().nth(1).unwrap_or_else(|| "examples/partner-auth.toml".to_owned());
    let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    // What has the wrong shape is said here, with its place in the file;
    let config: Config = toml::from_str(&text).map_err(|error| format!("{path}: {error}"))?;
    // what is wrong in itself is said here, all of it at once.
    let auth = config.build()?;
    for token in auth.status().tokens() {
        println!("{}: {}", token.scope(), token.state());
    }
    Ok(())
}
