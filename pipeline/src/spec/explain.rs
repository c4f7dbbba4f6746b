//! A pipeline in words.

use std::fmt::Write;

use super::Pipeline;
use crate::spec::types::{
    Auth, BodyForm, Detail, IdList, KeyPlace, ListSpec, LoadSpec, PagedList, Pagination, Spot, TargetSpec,
};
use crate::spec::units::{write_duration, write_percent, write_rate};

impl Pipeline {
    /// What the pipeline does, in words: a line for each step.
    #[must_use]
    pub fn in_words(&self) -> String {
        let mut text = format!("{}, revision {}\n", self.spec.name, self.revision());
        for (step, words) in self.steps() {
            // Writing into a text cannot fail.
            let _ = writeln!(text, "{step:<11} {words}");
        }
        text
    }

    /// What the pipeline does: its steps, each with what it is in words.
    #[must_use]
    pub fn steps(&self) -> Vec<(&'static str, String)> {
        let spec = &self.spec;
        let mut steps = Vec::new();
        let mut say = |step: &'static str, words: String| steps.push((step, words));
        for parameter in &spec.parameters {
            let value = match &parameter.default {
                Some(default) => format!("{default} unless --set says otherwise"),
                None => "must be set".to_owned(),
            };
            say("parameter", format!("{}: {value}", parameter.name));
        }
        say("list", list(&spec.source.list));
        if spec.source.auth != Auth::None {
            say("asks as", auth(&spec.source.auth));
        }
        say(
            "read",
            match &spec.source.detail {
                Detail::Request(request) => format!("each record from {}", request.url.text()),
                Detail::None => "nothing more: the items of the list are whole records".to_owned(),
            },
        );
        for part in &spec.source.enrich {
            let optional = if part.optional { ", if there is any" } else { "" };
            say("enrich", format!("{} from {}{optional}", part.name, part.request.url.text()));
        }
        say("validate", if spec.schema.is_given() { "by a JSON Schema" } else { "any JSON" }.to_owned());
        let lines = spec.transform.source().trim().lines().count();
        let transform = match spec.transform.source() {
            "." => "nothing: records go out as they came".to_owned(),
            _ => format!("by jq, {lines} {}", if lines == 1 { "line" } else { "lines" }),
        };
        say("transform", transform);
        say("load", load(&spec.load));
        say("in doubt", doubt(&spec.load));
        let limits = &spec.limits;
        let fixed = if limits.fixed_concurrency { "" } else { "up to " };
        let rate = limits.rate.map_or(String::new(), |rate| format!(", {}", write_rate(rate.requests, rate.per)));
        say("limits", format!("{fixed}{} requests at once to a host{rate}", limits.concurrency));
        let gone = write_percent(spec.source.max_gone);
        say("pauses", format!("when more than {gone} of the records are gone, or the target refuses all"));
        steps
    }
}

fn list(list: &ListSpec) -> String {
    match list {
        ListSpec::Ids(IdList::Parameter(name)) => format!("the IDs in the parameter {name}"),
        ListSpec::Ids(IdList::File(path)) => format!("the IDs in the file {}", path.text()),
        ListSpec::Paged(list) => {
            let (url, items, id) = (list.request.url.text(), &list.items, &list.id);
            format!("{url}: {}; items at {items}, their IDs at {id}", style(list))
        }
    }
}

fn style(list: &PagedList) -> String {
    let until = |total: &Option<Spot>| total.as_ref().map_or(String::new(), |spot| format!(", {} in all", at(spot)));
    match &list.pagination {
        Pagination::PageNumber(style) => {
            let last = match &style.total_pages {
                Some(spot) => format!("to the page {}, {} at once", at(spot), list.concurrency),
                None => "to a page without items".to_owned(),
            };
            format!("pages by ?{}= from {} {last}", style.parameter, style.first)
        }
        Pagination::Offset(style) => {
            let (offset, limit) = (&style.parameter, &style.limit_parameter);
            format!("pages by ?{offset}={}&{limit}={}{}", style.first, style.limit, until(&style.total))
        }
        Pagination::Cursor(style) => {
            format!("pages by ?{}= with the cursor {}{}", style.parameter, at(&style.next), until(&style.total))
        }
        Pagination::NextUrl(style) => format!("each page names the next, {}{}", at(&style.next), until(&style.total)),
        Pagination::LinkHeader(style) => {
            format!("each page names the next by Link, rel=\"{}\"{}", style.rel, until(&style.total))
        }
        Pagination::Single(style) => format!("one page{}", until(&style.total)),
    }
}

fn at(spot: &Spot) -> String {
    match spot {
        Spot::Body(path) => format!("at {path}"),
        Spot::Header(name) => format!("in the header {name}"),
    }
}

fn auth(auth: &Auth) -> String {
    match auth {
        Auth::None => "nobody".to_owned(),
        Auth::Bearer(token) => format!("the bearer of {}", token.text()),
        Auth::Basic { user, password } => format!("{} with the password {}", user.text(), password.text()),
        Auth::ApiKey { place, name, value } => {
            let place = if *place == KeyPlace::Header { "header" } else { "query parameter" };
            format!("the key {} in the {place} {name}", value.text())
        }
        Auth::OAuth2(oauth2) => {
            let (id, secret) = (oauth2.client_id.text(), oauth2.client_secret.text());
            format!("the client {id} with {secret}, by a token of {}", oauth2.token_url.text())
        }
    }
}

fn load(load: &LoadSpec) -> String {
    let most = load.max_batch;
    match &load.target {
        TargetSpec::Http(http) => {
            let what = match &http.body {
                BodyForm::Array => format!("arrays of up to {most} records"),
                BodyForm::Wrapped(_) => format!("objects around arrays of up to {most} records"),
                BodyForm::Ndjson => format!("up to {most} records, one a line,"),
                BodyForm::Record => "each record by itself".to_owned(),
            };
            format!("{what} to {}", http.url.text())
        }
        TargetSpec::Files(files) => format!("files of up to {most} records, one a line, in {}", files.url.text()),
        TargetSpec::Postgres(postgres) => format!("up to {most} rows at once into the table {}", postgres.table),
    }
}

fn doubt(load: &LoadSpec) -> String {
    let after = write_duration(load.settle_after);
    match load.on_doubt {
        super::OnDoubt::Retry => match &load.target {
            TargetSpec::Http(_) => format!("sent again after {after}: at least once"),
            TargetSpec::Files(_) => format!("written again after {after}, over what may be there"),
            TargetSpec::Postgres(_) => format!("sent again after {after}; the table takes each record once a run"),
        },
        super::OnDoubt::Hold => "left to an operator: at most once".to_owned(),
        super::OnDoubt::Probe => format!("the target is asked after {after} for each record whether it has it"),
    }
}
