//! The use cases, one row an operation.

use http::Method;

use crate::route::OnUnauthorized;

/// One operation of the partner API.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct UseCase {
    /// The use case, as the token API's page names it.
    pub name: &'static str,
    /// The operation within it.
    pub operation: &'static str,
    /// The method of its requests.
    pub method: Method,
    /// Which of the provider's hosts serves it.
    pub host: Host,
    /// The path template, in the syntax of [`Route`](crate::Route).
    pub path: &'static str,
    /// The scopes that its token needs, space-separated.
    pub scope: &'static str,
    /// What to do when it answers 401.
    pub on_unauthorized: OnUnauthorized,
    /// Where the sources disagree, or a row is not what it seems: why it is as it is.
    pub note: &'static str,
}

/// A host of the partner API. Which address it has is the
/// [`Environment`](crate::Environment)'s business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Host {
    /// Partner onboarding: merchants, documents, bank details, one-time passwords.
    Partner,
    /// Payment links, and the agreements API.
    OneApi,
    /// The older host of the e-sign flow.
    Onboarding,
}

/// Every operation of the partner integration, in the order of the token API's page.
pub static USE_CASES: &[UseCase] = &[
    row("Refer Merchant", "create", Method::POST, Host::Partner, "/api/v3/merchants", "refer_merchant"),
    row("Refer Merchant", "business members", Method::PUT, Host::Partner, "/api/v1/merchants/{uuid}/submit_business_members", "refer_merchant"),
    row("Refer Merchant", "list business members", Method::GET, Host::Partner, "/api/v1/merchants/{uuid}/list_business_members", "refer_merchant"),
    row("Refer Merchant", "merchant rates", Method::POST, Host::Partner, "/api/v1/partners/merchant_rates", "refer_merchant"),
    row("Refer Merchant", "register webhook", Method::POST, Host::Partner, "/api/v1/partners/register_webhook", "refer_merchant"),
    row("Verify Link Merchant", "verify", Method::POST, Host::Partner, "/api/v1/merchants/{mid}/verify", "refer_merchant"),
    row("Get Merchant", "get", Method::GET, Host::Partner, "/api/v1/merchants/{mid}", "refer_merchant"),
    row("Get Merchant", "key and salt", Method::GET, Host::Partner, "/api/v1/merchants/{mid}/credential", "read_merchant_reseller")
        .note("a scope of its own, newer than the token API's page"),
    row("Update Merchant", "update", Method::PUT, Host::Partner, "/api/v1/merchants/{uuid}/update", "refer_merchant")
        .note("older pages want a user's token: set Authorization on the request, it is left alone"),
    row("Update Merchant", "signatory", Method::PUT, Host::Partner, "/api/v1/merchants/{uuid}/signatory_details", "refer_merchant"),
    row("Send Sign In OTP", "send", Method::POST, Host::Partner, "/api/v1/otps/send_otp", "send_sign_in_otp"),
    row("Verify Sign In OTP", "verify", Method::POST, Host::Partner, "/api/v1/otps/verify_otp", "verify_sign_in_otp")
        .note("its answer holds a user's token, which is the caller's business"),
    row("Client Manage Agreement", "document", Method::GET, Host::Partner, "/api/v1/merchants/{uuid}/generate_merged_document_for_esign", "client_manage_agreement refer_merchant")
        .note("client_manage_agreement alone is answered 401 on this host"),
    row("Client Manage Agreement", "e-sign", Method::POST, Host::OneApi, "/v3/merchants/{mid}/agreements/{agreement}/esign", "client_manage_agreement")
        .on_unauthorized(OnUnauthorized::Renew)
        .note("a 401 may mean a wrong one-time password: a replay would burn an attempt"),
    row("Client Manage Agreement", "document (older host)", Method::GET, Host::Onboarding, "/api/v3/product_accounts/{uuid}/generate_merged_document_for_esign", "client_manage_agreement"),
    row("Client Manage Agreement", "signatory OTP (older host)", Method::POST, Host::Onboarding, "/api/v3/product_accounts/{uuid}/kyc_documents/{document}/send_signatory_otp", "client_manage_agreement"),
    row("Client Manage Agreement", "e-sign (older host)", Method::POST, Host::Onboarding, "/api/v3/product_accounts/{uuid}/esign_merged_document", "client_manage_agreement")
        .on_unauthorized(OnUnauthorized::Renew)
        .note("it spends a one-time password: not to be sent twice"),
    row("Client Manage KYC Details", "upload", Method::POST, Host::Partner, "/api/v3/merchants/{mid}/kyc_document", "client_manage_kyc_details")
        .note("the page of this operation says refer_merchant, the scope table this"),
    row("Client Manage KYC Details", "show", Method::GET, Host::Partner, "/api/v3/merchants/{mid}/kyc_document/{document}", "client_manage_kyc_details"),
    row("Client Manage KYC Details", "delete", Method::DELETE, Host::Partner, "/api/v3/merchants/{mid}/kyc_document/{document}", "client_manage_kyc_details"),
    row("Client Manage KYC Details", "required documents", Method::GET, Host::Partner, "/api/v3/merchants/{mid}/kyc_document/required_docs", "client_manage_kyc_details"),
    row("Client Manage KYC Details", "DigiLocker link", Method::POST, Host::Partner, "/api/v3/merchants/{mid}/kyc_document/generate_digilocker_link", "client_manage_kyc_details"),
    row("Client Manage KYC Details", "info", Method::GET, Host::Partner, "/api/v3/merchants/kyc_document/info", "client_manage_kyc_details"),
    row("Client Manage KYC Details", "send CKYC OTP", Method::POST, Host::Partner, "/api/v3/merchants/kyc_document/send_ckyc_otp", "client_manage_kyc_details"),
    row("Client Manage KYC Details", "verify CKYC OTP", Method::POST, Host::Partner, "/api/v3/merchants/kyc_document/verify_ckyc_otp", "client_manage_kyc_details")
        .on_unauthorized(OnUnauthorized::Renew)
        .note("it spends a one-time password: not to be sent twice"),
    row("Client Manage KYC Details", "CKYC data", Method::POST, Host::Partner, "/api/v3/merchants/kyc_document/ckyc_data", "client_manage_kyc_details"),
    row("Client Manage KYC Details", "VKYC profile", Method::POST, Host::Partner, "/api/v3/merchants/kyc_document/create_vkyc_profile", "client_manage_kyc_details"),
    row("Client Manage KYC Details", "Aadhaar XML", Method::POST, Host::Partner, "/api/v3/merchants/kyc_document/aadhaar_xml_offline", "client_manage_kyc_details"),
    row("Create Bank Details", "add", Method::POST, Host::Partner, "/api/v3/merchants/{uuid}/add_bank_detail", "create_bank_details")
        .note("may want a user's token: set Authorization on the request, it is left alone"),
    row("Create Bank Details", "add (older version)", Method::POST, Host::Partner, "/api/v1/merchants/{uuid}/add_bank_detail", "create_bank_details")
        .note("may want a user's token: set Authorization on the request, it is left alone"),
    row("Penny Verify", "verify", Method::POST, Host::Partner, "/api/v1/merchants/{uuid}/verify_penny", "user_token")
        .note("asked for as the token API's page says; other pages want a user's token, which is left alone"),
    row("Manage Payment Links", "create", Method::POST, Host::OneApi, "/payment-links", "create_payment_links"),
    row("Manage Payment Links", "list", Method::GET, Host::OneApi, "/payment-links", "read_payment_links"),
    row("Manage Payment Links", "get", Method::GET, Host::OneApi, "/payment-links/{invoice}", "read_payment_links"),
    row("Manage Payment Links", "update", Method::PUT, Host::OneApi, "/payment-links/{invoice}", "update_payment_links"),
    row("Manage Payment Links", "cancel", Method::DELETE, Host::OneApi, "/payment-links/{invoice}", "update_payment_links"),
    row("Manage Payment Links", "share", Method::POST, Host::OneApi, "/payment-links/{invoice}/share", "read_payment_links")
        .note("a POST under a read scope; another page says create_payment_links"),
    row("Manage Payment Links", "notify", Method::POST, Host::OneApi, "/payment-links/{invoice}/notify", "read_payment_links")
        .note("the other name of share"),
    row("Manage Payment Links", "transactions", Method::GET, Host::OneApi, "/payment-links/{invoice}/txns", "read_payment_links"),
];

const fn row(
    name: &'static str,
    operation: &'static str,
    method: Method,
    host: Host,
    path: &'static str,
    scope: &'static str,
) -> UseCase {
    let on_unauthorized = OnUnauthorized::Replay;
    UseCase { name, operation, method, host, path, scope, on_unauthorized, note: "" }
}

impl UseCase {
    const fn note(mut self, note: &'static str) -> Self {
        self.note = note;
        self
    }

    const fn on_unauthorized(mut self, policy: OnUnauthorized) -> Self {
        self.on_unauthorized = policy;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_use_case_of_the_token_api_page_has_a_row_with_its_scope() {
        for (name, scope) in [
            ("Refer Merchant", "refer_merchant"),
            ("Verify Link Merchant", "refer_merchant"),
            ("Get Merchant", "refer_merchant"),
            ("Update Merchant", "refer_merchant"),
            ("Send Sign In OTP", "send_sign_in_otp"),
            ("Verify Sign In OTP", "verify_sign_in_otp"),
            ("Client Manage Agreement", "client_manage_agreement"),
            ("Client Manage KYC Details", "client_manage_kyc_details"),
            ("Create Bank Details", "create_bank_details"),
            ("Penny Verify", "user_token"),
            ("Manage Payment Links", "create_payment_links"),
        ] {
            let covers =
                |row: &&UseCase| row.name == name && row.scope.split(' ').any(|s| s == scope);
            assert!(USE_CASES.iter().any(|row| covers(&row)), "{name}");
        }
    }

    #[test]
    fn routes_that_spend_a_one_time_password_are_never_replayed() {
        for row in
            USE_CASES.iter().filter(|row| row.path.ends_with("esign") && row.method == Method::POST)
        {
            assert_ne!(row.on_unauthorized, OnUnauthorized::Replay, "{}", row.path);
        }
    }
}
