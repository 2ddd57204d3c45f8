//! What rules mean, one point at a time.

mod common;

use cnx_waf::engine::{Limit, Verdict};
use cnx_waf::profile::{Exclusion, ProfileOptions};
use cnx_waf::seclang::draft::RuleChoice;
use cnx_waf::seclang::setting::EngineMode;
use common::Gateway;

const FORM: &str = "application/x-www-form-urlencoded";

/// Rules, a target, and the ids that must report in this order.
fn check(name: &str, rules: &str, target: &str, want: &[u32]) {
    let mut g = Gateway::rules(rules);
    g.get(target, &[]);
    assert_eq!(g.ids(), want, "{name}");
}

#[test]
fn rules_mean_what_modsecurity_means() {
    let report = "SecRule TX:n \"@eq 2\" \"id:90,phase:2,pass\"";
    for (name, rules, target, want) in [
        ("a missing phase is 2, and phases run in order", "SecRule ARGS a \"id:1,pass\"\nSecRule ARGS a \"id:2,phase:1,pass\"".to_owned(), "/?x=a", &[2, 1][..]),
        ("setvar runs once for each value that matches", format!("SecRule ARGS a \"id:1,phase:1,pass,nolog,setvar:tx.n=+1\"\n{report}"), "/?x=a&y=a&z=b", &[90]),
        ("each value that matches reports", "SecRule ARGS a \"id:1,pass\"".to_owned(), "/?x=a&y=a", &[1, 1]),
        ("the head of a chain acts even when a link fails", format!("SecRule ARGS:x a \"id:1,phase:1,pass,chain,setvar:tx.n=2\"\nSecRule ARGS:y nothing\n{report}"), "/?x=a&y=a", &[90]),
        ("a chain reports once, with the head's id", "SecRule ARGS:x a \"id:1,pass,chain\"\nSecRule ARGS:y a".to_owned(), "/?x=a&y=a", &[1]),
        ("MATCHED_VARS are the values of the links before", "SecRule ARGS \"@rx ^a\" \"id:1,pass,chain\"\nSecRule MATCHED_VARS \"@streq ab\"".to_owned(), "/?x=ac&y=ab", &[1]),
        ("MATCHED_VARS hold no value of a rule before", "SecRule ARGS a \"id:1,pass,nolog\"\nSecRule MATCHED_VARS a \"id:2,pass\"".to_owned(), "/?x=a", &[]),
        ("TX.1 is written by capture and stays", "SecRule ARGS \"@rx (b)c\" \"id:1,phase:1,pass,nolog,capture\"\nSecRule ARGS x \"id:3,phase:1,pass,nolog\"\nSecRule TX:1 \"@streq b\" \"id:2,pass\"".to_owned(), "/?q=abcx", &[2]),
        ("groups are not written without capture", "SecRule ARGS \"@rx (b)c\" \"id:1,phase:1,pass,nolog\"\nSecRule &TX:1 \"@eq 0\" \"id:2,pass\"".to_owned(), "/?q=abc", &[2]),
        ("multiMatch sees every intermediate value", "SecRule ARGS \"@streq A%62\" \"id:1,pass,multiMatch,t:urlDecodeUni,t:lowercase\"\nSecRule ARGS \"@streq Ab\" \"id:2,pass,multiMatch,t:urlDecodeUni,t:lowercase\"\nSecRule ARGS \"@streq ab\" \"id:3,pass,multiMatch,t:urlDecodeUni,t:lowercase\"".to_owned(), "/?q=A%2562", &[1, 2, 3]),
        ("without multiMatch only the last value counts", "SecRule ARGS \"@streq A%62\" \"id:1,pass,t:urlDecodeUni,t:lowercase\"\nSecRule ARGS \"@streq ab\" \"id:2,pass,t:urlDecodeUni,t:lowercase\"".to_owned(), "/?q=A%2562", &[2]),
        ("t:none drops the default transformations", "SecDefaultAction \"phase:2,pass,log,t:lowercase\"\nSecRule ARGS \"@streq a\" \"id:1,pass\"\nSecRule ARGS \"@streq A\" \"id:2,pass,t:none\"".to_owned(), "/?q=A", &[1, 2]),
        ("a count is of the values", "SecRule &ARGS \"@eq 2\" \"id:1,pass\"\nSecRule &ARGS:y \"@eq 0\" \"id:2,pass\"\nSecRule &TX:none \"@eq 0\" \"id:3,pass\"".to_owned(), "/?x=1&x=2", &[1, 2, 3]),
        ("exclusions by key and expression", "SecRule ARGS|!ARGS:x|!ARGS:/^y/ a \"id:1,pass\"".to_owned(), "/?X=a&yz=a&z=a", &[1]),
        ("keys by expression", "SecRule ARGS:/^y/ a \"id:1,pass\"".to_owned(), "/?x=a&yz=a", &[1]),
        ("negation, and absence", "SecRule ARGS:x \"!@streq a\" \"id:1,pass\"\nSecRule ARGS:none \"!@streq a\" \"id:2,pass\"".to_owned(), "/?x=b", &[1]),
        ("skipAfter jumps behind the marker", "SecAction \"id:1,pass,nolog,skipAfter:M\"\nSecRule ARGS a \"id:2,pass\"\nSecMarker M\nSecRule ARGS a \"id:3,pass\"".to_owned(), "/?x=a", &[3]),
        ("skip counts rules of the phase", "SecAction \"id:1,pass,nolog,skip:1\"\nSecRule ARGS a \"id:9,phase:1,pass\"\nSecRule ARGS a \"id:2,pass,chain\"\nSecRule ARGS a\nSecRule ARGS a \"id:3,pass\"".to_owned(), "/?x=a", &[9, 3]),
        ("macros in arguments", "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.want=a\"\nSecRule ARGS \"@streq %{tx.want}\" \"id:2,pass\"\nSecRule ARGS \"@within %{tx.want}b\" \"id:3,pass\"".to_owned(), "/?x=a", &[2, 3]),
        ("names with macros are found by expression", "SecRule ARGS a \"id:1,phase:1,pass,nolog,setvar:'tx.seen_%{MATCHED_VAR_NAME}=1'\"\nSecRule TX:/^seen_args:x/ \"@eq 1\" \"id:2,pass\"".to_owned(), "/?X=a", &[2]),
        ("setvar adds, subtracts, sets and removes", "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.n=5,setvar:tx.n=-2,setvar:tx.n=+%{tx.n},setvar:tx.gone=1,setvar:!tx.gone\"\nSecRule TX:n \"@eq 6\" \"id:2,pass\"\nSecRule &TX:gone \"@eq 0\" \"id:3,pass\"".to_owned(), "/", &[2, 3]),
        ("ctl leaves rules out by id, range and tag", "SecAction \"id:1,phase:1,pass,nolog,ctl:ruleRemoveById=2,ctl:ruleRemoveById=4-5,ctl:ruleRemoveByTag=t\"\nSecRule ARGS a \"id:2,pass\"\nSecRule ARGS a \"id:3,pass,tag:t\"\nSecRule ARGS a \"id:5,pass\"\nSecRule ARGS a \"id:6,pass,tag:tt\"".to_owned(), "/?x=a", &[6]),
        ("ctl leaves targets out", "SecAction \"id:1,phase:1,pass,nolog,ctl:ruleRemoveTargetById=2;ARGS:x,ctl:ruleRemoveTargetByTag=t;ARGS\"\nSecRule ARGS a \"id:2,pass\"\nSecRule ARGS|REQUEST_URI a \"id:3,pass,tag:t\"".to_owned(), "/?x=a&y=a", &[2, 3]),
        ("updates apply to rules before and after", "SecRuleUpdateTargetById 1 \"!ARGS:x\"\nSecRule ARGS a \"id:1,pass\"\nSecRule ARGS a \"id:2,pass,tag:t\"\nSecRuleUpdateTargetByTag t \"!ARGS:y\"\nSecRule ARGS a \"id:3,pass\"\nSecRuleRemoveById 3".to_owned(), "/?x=a&y=a", &[1, 2]),
        ("an update replaces a target", "SecRule ARGS a \"id:1,pass\"\nSecRuleUpdateTargetById 1 \"REQUEST_METHOD\" \"ARGS\"".to_owned(), "/?x=a", &[]),
        ("allow:phase ends the phase", "SecRule ARGS a \"id:1,phase:1,allow:phase\"\nSecRule ARGS a \"id:2,phase:1,pass\"\nSecRule ARGS a \"id:3,pass\"".to_owned(), "/?x=a", &[1, 3]),
        ("allow ends all request phases", "SecRule ARGS a \"id:1,phase:1,allow\"\nSecRule ARGS a \"id:3,pass\"".to_owned(), "/?x=a", &[1]),
        ("ctl:ruleEngine=Off ends everything", "SecRule ARGS a \"id:1,phase:1,pass,ctl:ruleEngine=Off\"\nSecRule ARGS a \"id:2,pass\"".to_owned(), "/?x=a", &[1]),
        ("block is what the default says", "SecDefaultAction \"phase:2,deny,log\"\nSecRule ARGS a \"id:1,block\"\nSecRule ARGS a \"id:2,pass\"".to_owned(), "/?x=a", &[1]),
        ("nolog does not report", "SecRule ARGS a \"id:1,pass,nolog\"".to_owned(), "/?x=a", &[]),
        ("the path is decoded once", "SecRule REQUEST_FILENAME \"@streq /a b%2f\" \"id:1,pass\"\nSecRule REQUEST_BASENAME \"@streq a b%2f\" \"id:2,pass\"".to_owned(), "/a%20b%252f?x", &[1, 2]),
        ("names are values too", "SecRule ARGS_NAMES \"@streq x\" \"id:1,pass\"\nSecRule ARGS_GET_NAMES \"@streq x\" \"id:2,pass\"".to_owned(), "/?x=a", &[1, 2]),
    ] {
        check(name, &rules, target, want);
    }
}

#[test]
fn messages_and_names_are_filled_in() {
    let mut g = Gateway::rules(
        "SecRule ARGS \"@rx (e+)\" \"id:1,pass,capture,t:lowercase,severity:ERROR,msg:'found %{TX.1} in %{MATCHED_VAR_NAME}: %{MATCHED_VAR}, %{REQUEST_METHOD} %{REQUEST_HEADERS.Host} %{rule.id}'\"",
    );
    g.get("/?Key=SEEN", &[]);
    assert_eq!(g.messages(), ["found ee in ARGS:Key: seen, GET example.com 1"]);
    assert_eq!(g.variables(), ["ARGS:Key"]);
    assert_eq!(
        g.transaction.reports().next().map(|r| (r.severity, r.phase)),
        Some((3, 2))
    );
}

#[test]
fn bodies_become_arguments() {
    let mut g = Gateway::rules(
        "SecRule ARGS_POST:a \"@streq x y\" \"id:1,pass\"\n\
         SecRule REQUEST_BODY \"@contains a=x\" \"id:2,pass\"\n\
         SecRule ARGS:json.u.array_1.n \"@streq 7\" \"id:3,pass\"\n\
         SecRule XML:/* \"@contains hello\" \"id:4,pass\"\n\
         SecRule XML://@* \"@streq v\" \"id:5,pass\"\n\
         SecRule FILES \"@endsWith .php\" \"id:6,pass\"\n\
         SecRule REQBODY_ERROR \"@eq 1\" \"id:7,pass\"\n\
         SecRule REQUEST_BODY_LENGTH \"@eq 9\" \"id:8,pass\"",
    );
    for (kind, body, want) in [
        (FORM, "a=x+y&b=1", &[1, 2, 8][..]),
        ("application/json", r#"{"u":[0,{"n":7}]}"#, &[3]),
        ("application/json", r#"{"u":"#, &[7]),
        ("text/xml", "<a b='v'>hello</a>", &[4, 5]),
        (
            "multipart/form-data; boundary=B",
            "--B\r\nContent-Disposition: form-data; name=f; filename=x.php\r\n\r\nd\r\n--B--\r\n",
            &[6],
        ),
        ("text/plain", "a=x+y", &[]),
    ] {
        g.post(kind, body.as_bytes());
        assert_eq!(g.ids(), want, "{kind} {body}");
    }
    let mut forced = Gateway::rules(
        "SecAction \"id:1,phase:1,pass,nolog,ctl:forceRequestBodyVariable=On\"\nSecRule REQUEST_BODY \"@contains a=x\" \"id:2,pass\"",
    );
    forced.post("text/plain", b"a=x+y");
    assert_eq!(forced.ids(), [2]);
}

#[test]
fn modes_decide_what_a_match_does() {
    let rules = vec![(
        "t.conf".to_owned(),
        b"SecRule ARGS a \"id:1,deny\"\nSecRule ARGS a \"id:2,pass\"".to_vec(),
    )];
    for (mode, verdict, would_block, ids) in [
        (EngineMode::On, Verdict::Block, false, &[1][..]),
        (EngineMode::DetectionOnly, Verdict::DetectMatch, true, &[1, 2]),
        (EngineMode::Off, Verdict::Pass, false, &[]),
    ] {
        let mut g = Gateway::with(
            &rules,
            &ProfileOptions {
                mode: Some(mode),
                ..ProfileOptions::default()
            },
        );
        let outcome = g.get("/?x=a", &[]);
        assert_eq!((outcome.verdict, outcome.would_block), (verdict, would_block));
        assert_eq!(g.ids(), ids);
        assert_eq!(outcome.blocking_rule, if mode == EngineMode::Off { 0 } else { 1 });
    }
}

#[test]
fn bounds_are_verdicts_of_their_own() {
    let rules =
        "SecArgumentsLimit 3\nSecRequestBodyLimit 100\nSecUploadFileLimit 1\nSecRule ARGS \"@rx a+b\" \"id:1,deny\"";
    let mut g = Gateway::rules(rules);
    for (outcome, limit) in [
        (g.get("/?a=1&b=2&c=3&d=4", &[]), Limit::Arguments),
        (g.post(FORM, &[b'x'; 101]), Limit::Body),
        (g.post(FORM, b"a=1&b=2&c=3&d=4"), Limit::Arguments),
        (g.post("application/json", b"[1,2,3,4]"), Limit::Arguments),
    ] {
        assert_eq!((outcome.verdict, outcome.limit), (Verdict::BudgetExceeded, limit));
    }
    let file = |n: &str| format!("--B\r\nContent-Disposition: form-data; name={n}; filename=x\r\n\r\nd\r\n");
    let mut files = Gateway::rules("SecUploadFileLimit 1\nSecRule FILES x \"id:1,pass\"");
    let outcome = files.post(
        "multipart/form-data; boundary=B",
        format!("{}{}--B--\r\n", file("a"), file("b")).as_bytes(),
    );
    assert_eq!(
        (outcome.verdict, outcome.limit),
        (Verdict::BudgetExceeded, Limit::Files)
    );
    let tight = ProfileOptions {
        mode: Some(EngineMode::On),
        work_max: Some(5_000),
        ..ProfileOptions::default()
    };
    let mut g = Gateway::with(
        &vec![("t.conf".into(), b"SecRule ARGS \"@rx a.*b.*c\" \"id:1,deny\"".to_vec())],
        &tight,
    );
    let outcome = g.get(&format!("/?x={}", "ab".repeat(4000)), &[]);
    assert_eq!((outcome.verdict, outcome.limit), (Verdict::BudgetExceeded, Limit::Work));
    assert_eq!(
        g.get("/?x=abc", &[]).verdict,
        Verdict::Block,
        "the next request starts afresh"
    );
    let partial = "SecRequestBodyLimit 10\nSecRequestBodyLimitAction ProcessPartial\nSecRule ARGS \"@streq evil\" \"id:1,pass\"\nSecRule INBOUND_DATA_ERROR \"@eq 1\" \"id:2,pass\"";
    let mut g = Gateway::rules(partial);
    g.post(FORM, b"a=evil&b=xxxxxxxxxxxxx");
    assert_eq!(g.ids(), [1, 2]);
}

#[test]
fn a_profile_pins_any_variable_and_leaves_rules_and_targets_out() {
    let rules = "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.allowed_methods=GET,setvar:tx.max_num_args=1\"\n\
                 SecRule REQUEST_METHOD \"!@within %{tx.allowed_methods}\" \"id:2,phase:1,pass,tag:policy\"\n\
                 SecRule &ARGS \"@gt %{tx.max_num_args}\" \"id:3,pass,msg:'Too many'\"\n\
                 SecRule ARGS \"@streq evil\" \"id:4,pass,tag:attack\"\n\
                 SecRule ARGS \"@contains evil\" \"id:5,pass,tag:attack,msg:'Evil'\"";
    let files = vec![("t.conf".to_owned(), rules.as_bytes().to_vec())];
    let ids = |variables: &[(&str, &str)], exclusions: &[(RuleChoice, Option<&str>)]| {
        let options = ProfileOptions {
            variables: variables.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect(),
            exclusions: exclusions
                .iter()
                .map(|(rules, target)| Exclusion {
                    rules: rules.clone(),
                    target: target.map(str::to_owned),
                })
                .collect(),
            ..ProfileOptions::default()
        };
        let mut g = Gateway::with(&files, &options);
        g.send("POST", "/?json.a=evil&json.b=evil&c=evil", &[], b"");
        g.ids()
    };
    let tag = |t: &str| RuleChoice::Tag(t.into());
    let four_and_five = RuleChoice::Ids(vec![(4, 5)]);
    assert_eq!(ids(&[], &[]), [2, 3, 4, 4, 4, 5, 5, 5]);
    assert_eq!(
        ids(
            &[("Allowed_Methods", "GET POST"), ("max_num_args", "3"), ("unknown", "x")],
            &[]
        ),
        [4, 4, 4, 5, 5, 5]
    );
    assert_eq!(
        ids(
            &[],
            &[
                (tag("policy"), None),
                (RuleChoice::Message("Too many".into()), None),
                (four_and_five.clone(), None)
            ]
        ),
        []
    );
    assert_eq!(
        ids(
            &[],
            &[
                (four_and_five, Some("ARGS:c")),
                (tag("attack"), Some("ARGS:/^json\\./"))
            ]
        ),
        [2, 3]
    );
    assert_eq!(
        ids(
            &[],
            &[
                (RuleChoice::Message("Evil".into()), Some("ARGS")),
                (tag("policy"), Some("ARGS:/^x/"))
            ]
        ),
        [2, 3, 4, 4, 4]
    );
}
