//! Answers any GitHub webhook with a summary of it:
//! {"kind":"issues","action":"opened","repository":"octo/hello","sender":"octocat","number":7,"title":"A bug"}

mod json;

use json::Value;
use std::io::{stdin, stdout, Read, Write};
use std::process::exit;

/// What a payload is about: GitHub names the kind in a header, the payload only by which object it carries. The more special come first: a
/// comment on an issue has an issue too.
const KINDS: &[(&str, &str)] = &[
    ("comment", "comment"),
    ("review", "pull_request_review"),
    ("thread", "pull_request_review_thread"),
    ("check_run", "check_run"),
    ("check_suite", "check_suite"),
    ("workflow_job", "workflow_job"),
    ("workflow_run", "workflow_run"),
    ("deployment_status", "deployment_status"),
    ("deployment", "deployment"),
    ("pull_request", "pull_request"),
    ("issue", "issues"),
    ("discussion", "discussion"),
    ("release", "release"),
    ("package", "package"),
    ("milestone", "milestone"),
    ("label", "label"),
    ("alert", "alert"),
    ("security_advisory", "security_advisory"),
    ("project_card", "project_card"),
    ("project_column", "project_column"),
    ("project", "project"),
    ("projects_v2_item", "projects_v2_item"),
    ("member", "member"),
    ("membership", "organization"),
    ("marketplace_purchase", "marketplace_purchase"),
    ("sponsorship", "sponsorship"),
    ("forkee", "fork"),
    ("pages", "gollum"),
    ("zen", "ping"),
    ("commits", "push"),
    ("ref_type", "create_or_delete"),
    ("team", "team"),
    ("repositories_added", "installation_repositories"),
    ("repositories", "installation"),
    ("starred_at", "star"),
];

/// Objects whose title, name or body says what happened.
const SUBJECTS: &[&str] = &["pull_request", "issue", "discussion", "release", "milestone", "label", "check_run", "workflow_run", "project"];

fn kind(event: &Value) -> &'static str {
    KINDS.iter().find(|(key, _)| event.get(key).is_some()).map_or("other", |(_, kind)| kind)
}

fn text<'a>(value: Option<&'a Value>, keys: &[&str]) -> Option<&'a str> {
    keys.iter().find_map(|key| value?.get(key)?.as_str())
}

fn summary(event: &Value) -> Value {
    let subject = SUBJECTS.iter().find_map(|key| event.get(key));
    let number = event.get("number").or_else(|| subject?.get("number"));
    let optional = |value: Option<&str>| value.map_or(Value::Null, Value::from);
    Value::Object(vec![
        ("kind".into(), Value::from(kind(event))),
        ("action".into(), optional(event.get("action").and_then(Value::as_str))),
        ("repository".into(), optional(text(event.get("repository"), &["full_name", "name"]))),
        ("organization".into(), optional(text(event.get("organization"), &["login"]))),
        ("sender".into(), optional(text(event.get("sender"), &["login"]))),
        ("number".into(), number.cloned().unwrap_or(Value::Null)),
        ("title".into(), optional(text(subject, &["title", "name", "tag_name"]))),
        ("ref".into(), optional(event.get("ref").and_then(Value::as_str))),
        ("commits".into(), event.get("commits").and_then(Value::len).map_or(Value::Null, Value::from)),
    ])
}

#[no_mangle]
pub extern "C" fn handle_event() {
    let mut input = Vec::new();
    stdin().read_to_end(&mut input).unwrap();
    let event = match json::parse(&input) {
        Ok(event) => event,
        Err(why) => {
            eprintln!("not a webhook: {}", why);
            exit(1);
        }
    };
    let answer = summary(&event).to_string();
    eprintln!("{} bytes of {}", input.len(), kind(&event));
    stdout().write_all(answer.as_bytes()).unwrap();
}
