//! `auth` and `headers` in the canonical form: references, never what they refer to.

use serde_json::{Map, Value, json};

use super::{put, word};
use crate::spec::read::auth::SEND_SECRET;
use crate::spec::types::{Auth, Headers, KeyPlace};

pub(super) fn put_auth(value: &mut Value, auth: &Auth) {
    let auth = match auth {
        Auth::None => return,
        Auth::Bearer(token) => json!({"bearer": token.text()}),
        Auth::Basic { user, password } => json!({"basic": {"user": user.text(), "password": password.text()}}),
        Auth::ApiKey { place, name, value } => {
            let place = if *place == KeyPlace::Header { "header" } else { "query" };
            json!({"api_key": {place: name, "value": value.text()}})
        }
        Auth::OAuth2(oauth2) => {
            let mut value = json!({
                "token_url": oauth2.token_url.text(),
                "client_id": oauth2.client_id.text(),
                "client_secret": oauth2.client_secret.text(),
                "send": word(&SEND_SECRET, &oauth2.send),
            });
            put(&mut value, "scope", oauth2.scope.as_ref().map(|scope| scope.text()));
            put(&mut value, "audience", oauth2.audience.as_ref().map(|audience| audience.text()));
            json!({"oauth2": value})
        }
    };
    value["auth"] = auth;
}

pub(super) fn put_headers(value: &mut Value, headers: &Headers) {
    if headers.is_empty() {
        return;
    }
    let headers = headers.iter().map(|(name, value)| (name.clone(), Value::from(value.text())));
    value["headers"] = headers.collect::<Map<String, Value>>().into();
}
