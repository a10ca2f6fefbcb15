//! A server of your own.

use tower::BoxError;
use tower_partner_auth::partner::USE_CASES;
use tower_partner_auth::{ClientCredentials, Environment, PartnerAuthLayer};

use crate::client::{Answer, call, https_client_over};
use crate::faults::Faults;
use crate::use_cases::{Table, describe, use_case_request};

/// A server that is not the sandbox.
pub(crate) struct Partner {
    token_url: String,
    api_origin: String,
    credentials: ClientCredentials,
}

/// The server that the environment variables name, if there are any of them.
///
/// # Errors
///
/// The names of those that are missing beside others.
pub(crate) fn target() -> Result<Option<Partner>, Vec<&'static str>> {
    const NAMES: [&str; 4] =
        ["PARTNER_TOKEN_URL", "PARTNER_API_ORIGIN", "PARTNER_CLIENT_ID", "PARTNER_CLIENT_SECRET"];
    let values = NAMES.map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let missing: Vec<_> =
        NAMES.into_iter().zip(&values).filter(|(_, v)| v.is_none()).map(|(name, _)| name).collect();
    match values {
        [Some(token_url), Some(api_origin), Some(id), Some(secret)] => {
            let credentials = ClientCredentials::new(id, secret);
            Ok(Some(Partner { token_url, api_origin, credentials }))
        }
        _ if missing.len() == NAMES.len() => Ok(None),
        _ => Err(missing),
    }
}

/// The tour of another server: its use cases, as it answers them.
pub(crate) async fn tour(partner: Partner) -> Result<(String, Faults), BoxError> {
    let environment = Environment::at(partner.api_origin.as_str());
    let auth = PartnerAuthLayer::builder(partner.credentials)
        .environment(environment.clone())
        .token_url(partner.token_url)
        .build()?;
    let client = https_client_over(&auth)?;
    println!("Every use case, at {}", partner.api_origin);

    let mut faults = Faults::default();
    let mut table = Table::default();
    for row in USE_CASES {
        let answer = call(&client, use_case_request(row, &environment)?).await;
        table.print(row, &answer);
        let fine = |answer: &Answer| answer.status.as_u16() < 400;
        faults.check(answer.as_ref().is_ok_and(fine), || describe(row, &answer));
    }
    Ok((format!("{} use cases authorised", USE_CASES.len()), faults))
}
