//! Events through `tracing`, where the feature is on. They name scopes, kinds and counts; never a
//! token, a secret, a body or a whole URI.

/// An event at a level of `tracing`; nothing at all, its arguments included, without the feature.
macro_rules! event {
    ($level:ident, $($event:tt)+) => {{
        #[cfg(feature = "tracing")]
        {
            tracing::$level!(target: "tower_partner_auth", $($event)+);
        }
    }};
}

pub(crate) use event;
