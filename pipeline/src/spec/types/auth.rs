//! Who asks, typed. Secrets stand here as references only.

use crate::spec::template::Template;
use crate::spec::value::ValueTemplate;

/// Headers by name: name in lower case, value.
pub(crate) type Headers = Vec<(String, ValueTemplate)>;

/// How a host knows who asks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Auth {
    /// It does not want to know.
    #[default]
    None,
    /// `Authorization: Bearer …` (RFC 6750).
    Bearer(ValueTemplate),
    /// `Authorization: Basic …` (RFC 7617).
    Basic { user: ValueTemplate, password: ValueTemplate },
    /// A header or a query parameter of this name.
    ApiKey { place: KeyPlace, name: String, value: ValueTemplate },
    /// Client credentials (RFC 6749, section 4.4).
    OAuth2(OAuth2),
}

/// Where an API key goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyPlace {
    Header,
    Query,
}

/// How a token is got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OAuth2 {
    pub(crate) token_url: Template,
    pub(crate) client_id: ValueTemplate,
    pub(crate) client_secret: ValueTemplate,
    pub(crate) scope: Option<Template>,
    pub(crate) audience: Option<Template>,
    pub(crate) send: SendSecret,
}

/// How the token endpoint is told the client's secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SendSecret {
    /// `Authorization: Basic …`, as RFC 6749 wants every server to understand it.
    Basic,
    /// In the form, as many servers want it.
    Body,
}
