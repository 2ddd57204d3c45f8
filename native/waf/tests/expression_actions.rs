//! WAF expressions: what their actions do, what reports say, and how files, profiles and answers change it.

mod common;

use cnx_waf::engine::{KEPT_BYTES_MAX, Transaction, Verdict, Wanted};
use cnx_waf::expression::rule::{Action, ExpressionRule, ID_CHOSEN_LAST, ID_FIRST, ID_JUDGE};
use cnx_waf::profile::{Exclusion, ProfileOptions};
use cnx_waf::seclang::draft::RuleChoice;
use cnx_waf::seclang::setting::EngineMode;
use cnx_waf::wire::{RESPONSE_BODY_NOT_READ, Response, pack_response};
use common::expressions::{Given, Running, program, rule, strings};

#[test]
fn actions_do_what_they_say() {
    let at = |path: &str, action| rule(&format!("http.request.path eq \"{path}\""), action);
    let mut running = Running::new(
        vec![
            at("/no", Action::Block),
            at("/log", Action::Log),
            at("/skip", Action::Skip(Vec::new())),
            at("/part", Action::Skip(strings(&["words"]))),
        ],
        &[(
            "a.conf",
            "SecRule ARGS \"@contains evil\" \"id:1,phase:2,deny,tag:'words',msg:'evil'\"\n\
             SecRule ARGS \"@contains worse\" \"id:2,phase:2,deny,msg:'worse'\"",
        )],
    );
    let mut verdict = |target: &str| {
        let outcome = running.send(&Given::get(target));
        (outcome.verdict, outcome.matches)
    };
    assert_eq!(verdict("/no"), (Verdict::Block, 1));
    assert_eq!(verdict("/%6eo"), (Verdict::Block, 1));
    assert_eq!(verdict("/log"), (Verdict::DetectMatch, 1));
    assert_eq!(verdict("/x?a=evil"), (Verdict::Block, 1));
    assert_eq!(verdict("/skip?a=evil"), (Verdict::Pass, 0));
    assert_eq!(verdict("/part?a=evil"), (Verdict::Pass, 0));
    assert_eq!(verdict("/part?a=worse"), (Verdict::Block, 1));

    let detect = ProfileOptions {
        mode: Some(EngineMode::DetectionOnly),
        ..ProfileOptions::default()
    };
    let mut running = Running::with(vec![at("/no", Action::Block)], &[], &detect);
    let outcome = running.send(&Given::get("/no"));
    assert_eq!((outcome.verdict, outcome.would_block), (Verdict::DetectMatch, true));
    assert!((ID_CHOSEN_LAST + 1..ID_JUDGE).contains(&outcome.blocking_rule));
}

const SCORED: &str = r#"
SecAction "id:1,phase:1,nolog,pass,setvar:tx.inbound_anomaly_score_pl1=0,setvar:tx.inbound_anomaly_score_threshold=5"
SecRule ARGS "@contains evil" "id:2,phase:2,log,pass,setvar:tx.inbound_anomaly_score_pl1=+3"
SecRule TX:inbound_anomaly_score_pl1 "@ge 1" "id:3,phase:2,nolog,pass,setvar:tx.blocking_inbound_anomaly_score=%{tx.inbound_anomaly_score_pl1}"
SecRule TX:blocking_inbound_anomaly_score "@ge %{tx.inbound_anomaly_score_threshold}" "id:4,phase:2,deny,log"
"#;

#[test]
fn scores_are_added_and_judged_wherever_the_item_stands() {
    for when in [
        "ssl or http.request.path starts_with \"/a\"",
        "http.request.body.size ge 0 and http.request.path starts_with \"/a\"",
    ] {
        for before in [0, 1] {
            let item = ExpressionRule {
                before,
                ..rule(when, Action::Score(2))
            };
            let mut running = Running::new(vec![item], &[("a.conf", SCORED)]);
            let mut send = |target: &str| {
                let outcome = running.send(&Given::get(target));
                (outcome.verdict, outcome.score)
            };
            assert_eq!(send("/a?x=evil"), (Verdict::Block, 5), "{when} {before}");
            assert_eq!(send("/a"), (Verdict::DetectMatch, 2), "{when} {before}");
            assert_eq!(send("/b?x=evil"), (Verdict::DetectMatch, 3), "{when} {before}");
        }
    }
}

#[test]
fn scores_are_judged_without_any_file() {
    let items = vec![
        rule("http.request.path starts_with \"/a\"", Action::Score(4)),
        rule("http.request.path ends_with \"b\"", Action::Score(4)),
    ];
    let options = ProfileOptions {
        variables: vec![("inbound_anomaly_score_threshold".into(), "8".into())],
        ..ProfileOptions::default()
    };
    let mut running = Running::with(items.clone(), &[], &options);
    let outcome = running.send(&Given::get("/ab"));
    assert_eq!(
        (outcome.verdict, outcome.score, outcome.matches),
        (Verdict::Block, 8, 3)
    );
    assert_eq!(outcome.blocking_rule, ID_JUDGE + 1);
    assert_eq!(running.send(&Given::get("/a")).verdict, Verdict::DetectMatch);
    // The threshold without a profile's is that of the CRS.
    assert_eq!(
        Running::new(items, &[]).send(&Given::get("/ab")).verdict,
        Verdict::Block
    );
}

#[test]
fn reports_name_what_made_it_true_and_mask_secrets() {
    let items = vec![
        ExpressionRule {
            id: Some(ID_FIRST + 7),
            name: Some("Only from the office".into()),
            ..rule(
                "http.request.path starts_with \"/admin\" and not ip.src in {10.0.0.0/8}",
                Action::Log,
            )
        },
        ExpressionRule {
            message: Some("100% {macro}: %{tx.0}".into()),
            ..rule("any(http.request.cookies.values[*] contains \"s3c\")", Action::Log)
        },
        rule("not http.user_agent contains \"curl\" or ssl", Action::Log),
        rule(
            "http.request.uri.args[\"password\"][0] eq \"hunter2\" xor ssl",
            Action::Log,
        ),
        rule("http.referer eq \"\"", Action::Log),
    ];
    let mut running = Running::new(items, &[]);
    running.send(
        &Given::get("/x/../admin?password=hunter2")
            .header("user-agent", "Mozilla")
            .header("cookie", "a=1; sid=s3cret"),
    );
    let reports: Vec<_> = running
        .reports()
        .into_iter()
        .map(|(_, m, v, t)| [m, v, t].map(String::from))
        .collect();
    let reports: Vec<[&str; 3]> = reports
        .iter()
        .map(|r| [r[0].as_str(), r[1].as_str(), r[2].as_str()])
        .collect();
    assert_eq!(
        reports,
        [
            ["Only from the office", "REQUEST_FILENAME", "/x/../admin"],
            ["100% {macro}: %{tx.0}", "REQUEST_COOKIES:sid", "<masked, 6 bytes>"],
            [
                "not http.user_agent contains \"curl\" or ssl",
                "REQUEST_HEADERS:user-agent",
                "Mozilla"
            ],
            [
                "http.request.uri.args[\"password\"][0] eq \"hunter2\" xor ssl",
                "ARGS_GET:password",
                "<masked, 7 bytes>"
            ],
            ["http.referer eq \"\"", "", ""],
        ]
    );
    assert_eq!(running.reports()[0].0, ID_FIRST + 7);
}

#[test]
fn ids_stay_and_do_not_clash() {
    let ids = |items: Vec<ExpressionRule>| {
        let program = program(items, &[]).unwrap_or_else(|l| panic!("{}", l.join("\n")));
        program.phases[0].rules.iter().map(|r| r.id).collect::<Vec<_>>()
    };
    let (a, b) = (rule("ssl", Action::Log), rule("not ssl", Action::Log));
    let both = ids(vec![a.clone(), b.clone()]);
    assert_eq!(ids(vec![b.clone()]), both[1..]);
    assert_eq!(ids(vec![a.clone(), a.clone()])[0], both[0]);
    let chosen = |id| ExpressionRule {
        id: Some(id),
        ..a.clone()
    };
    let said = |items, conf: &str| program(items, &[("a.conf", conf)]).err().unwrap_or_default();
    assert_eq!(
        said(vec![chosen(5)], ""),
        ["the id 5 is none of an expression (write a number from 90000000 to 90099999, or leave it out)"]
    );
    assert_eq!(
        said(vec![chosen(ID_FIRST), chosen(ID_FIRST)], ""),
        [format!("the id {ID_FIRST} is taken (/ssl has it; choose another)")]
    );
    assert_eq!(
        said(vec![b], &format!("SecAction \"id:{ID_FIRST},phase:1,pass\"")),
        ["the ids from 90000000 to 90999999 are those of expressions (choose another)"]
    );
}

#[test]
fn files_and_profiles_change_expressions_as_they_change_rules() {
    let item = ExpressionRule {
        id: Some(ID_FIRST),
        ..rule("http.request.path eq \"/no\"", Action::Block)
    };
    let verdict = |item: &ExpressionRule, conf: &str, options: ProfileOptions| {
        let mut running = Running::with(vec![item.clone()], &[("a.conf", conf)], &options);
        running.send(&Given::get("/no")).verdict
    };
    let none = ProfileOptions::default;
    assert_eq!(verdict(&item, "", none()), Verdict::Block);
    assert_eq!(verdict(&item, "SecRuleRemoveById 90000000", none()), Verdict::Pass);
    assert_eq!(verdict(&item, "SecRuleRemoveByTag expression", none()), Verdict::Pass);
    let left_out = ProfileOptions {
        exclusions: vec![Exclusion {
            rules: RuleChoice::Ids(vec![(ID_FIRST, ID_FIRST)]),
            target: None,
        }],
        ..none()
    };
    assert_eq!(verdict(&item, "", left_out), Verdict::Pass);
    // Those of a route run nowhere else.
    let local = ExpressionRule {
        local: true,
        place: "routes.yaml#/0".into(),
        ..item
    };
    assert_eq!(verdict(&local, "", none()), Verdict::Pass);
    let here = ProfileOptions {
        local_rules: strings(&["routes.yaml#/0"]),
        ..none()
    };
    assert_eq!(verdict(&local, "", here), Verdict::Block);
}

#[test]
fn answers_are_asked_together_with_their_requests() {
    let items = vec![
        rule(
            "http.response.code in {500..599} and http.request.path starts_with \"/api\" and ssl",
            Action::Log,
        ),
        rule("any(http.response.headers[\"X-Debug\"][*] eq \"on\")", Action::Block),
        rule("http.response.content_type.media_type eq \"text/html\"", Action::Log),
    ];
    let options = ProfileOptions {
        answers: true,
        ..ProfileOptions::default()
    };
    let mut running = Running::with(items, &[], &options);
    let mut exchange = |target: &str, status, headers: &[(&[u8], &[u8])]| {
        let given = Given {
            tls: true,
            ..Given::get(target)
        };
        let request = running.send(&given);
        assert_eq!((request.verdict, request.answer), (Verdict::Pass, Wanted::Head));
        let mut kept = vec![0; KEPT_BYTES_MAX];
        let n = running.transaction.keep(&running.profile, &mut kept).expect("it fits");
        let packed = pack_response(status, b"HTTP/1.1", headers, b"", RESPONSE_BODY_NOT_READ);
        let response = Response::unpack(&packed).expect("a packed answer");
        let outcome = Transaction::default().respond(&running.profile, &kept[..n], &response);
        (outcome.verdict, outcome.matches)
    };
    assert_eq!(
        exchange("/api/x", 503, &[(b"content-type", b"Text/HTML; charset=utf-8")]),
        (Verdict::DetectMatch, 2)
    );
    assert_eq!(exchange("/other", 503, &[(b"x-debug", b"off")]), (Verdict::Pass, 0));
    assert_eq!(exchange("/other", 200, &[(b"x-debug", b"on")]), (Verdict::Block, 1));
    let said = program(vec![rule("http.response.code eq 500", Action::Score(3))], &[])
        .err()
        .unwrap_or_default();
    assert_eq!(
        said,
        ["the score is of requests, and this asks the answer (use block or log, or ask the request alone)"]
    );
}

#[test]
fn an_expression_without_its_literals_costs_nothing() {
    let words: Vec<ExpressionRule> = (0..200)
        .map(|n| {
            rule(
                &format!("http.request.path contains \"/forbidden{n}/\" and not ip.src in $office"),
                Action::Block,
            )
        })
        .collect();
    let mut many = Running::new(words, &[]);
    let mut one = Running::new(
        vec![rule("http.request.path contains \"/forbidden0/\"", Action::Block)],
        &[],
    );
    assert_eq!(many.profile.program.prefiltered_count, 200);
    let given = Given::get("/index.html?a=b");
    assert_eq!(many.send(&given).work, one.send(&given).work);
    assert_eq!(
        many.send(&Given {
            client: "198.51.100.1".into(),
            ..Given::get("/forbidden77/")
        })
        .verdict,
        Verdict::Block
    );
}
