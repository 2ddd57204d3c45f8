//! The OWASP Core Rule Set loads whole and unmodified.

mod common;

use cnx_waf::engine::Verdict;
use common::{Gateway, crs};

#[test]
fn everything_loads_and_works() {
    let Some(files) = crs() else { return };
    let mut g = Gateway::new(&files);
    let program = &g.profile.program;
    assert!(
        program.rule_count > 690 && program.prefiltered_count > 280,
        "{} {}",
        program.rule_count,
        program.prefiltered_count
    );
    assert!(program.memory_bytes < 60 << 20, "{} bytes", program.memory_bytes);
    let headers = [
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/120.0"),
        ("accept", "*/*"),
    ];
    for (target, id) in [
        ("/?q=%3Cscript%3Ealert(1)%3C/script%3E", 941_110),
        ("/?f=../../etc/passwd", 930_120),
        ("/?c=;cat+/etc/passwd", 932_160),
        ("/?q=1+union+select+1,2,3+from+users", 942_190),
        ("/?q=1%27+or+%271%27=%271", 942_100),
        ("/?q=x%22+onpointerdown=alert%60%60", 941_100),
    ] {
        let outcome = g.get(target, &headers);
        assert_eq!(outcome.verdict, Verdict::Block, "{target} {:?}", g.ids());
        assert!(g.ids().contains(&id), "{target} {:?}", g.ids());
        assert!(outcome.score >= 5 && outcome.blocking_rule == 949_110);
    }
    let outcome = g.get("/catalog/shoes?page=3&sort=price&color=blue&q=running+shoes", &headers);
    assert_eq!(outcome.verdict, Verdict::Pass, "{:?}", g.ids());
    // 20 KB of one repeated unit, the worst of which keeps a backtracking engine busy for minutes.
    for unit in ["<", "'", "(", "';", "$", "<a ", "\\", "&#", "a=", "%25"] {
        let body = format!("text={}", unit.repeat(20_000 / unit.len()));
        let outcome = g.post("application/x-www-form-urlencoded", body.as_bytes());
        assert!(outcome.work < 8_000_000, "{unit}: {}", outcome.work);
        assert_ne!(outcome.verdict, Verdict::Error);
    }
    assert!(
        g.transaction.memory_bytes() < 32 << 20,
        "{} bytes of scratch memory",
        g.transaction.memory_bytes()
    );
}

#[test]
fn expressions_add_to_the_score_of_the_core_rule_set_and_skip_its_rules() {
    use cnx_waf::expression::rule::Action;
    use common::expressions::{Given, Running, rule};

    let Some(files) = crs() else { return };
    let texts: Vec<(String, String)> = files
        .iter()
        .map(|(name, content)| (name.clone(), String::from_utf8_lossy(content).into_owned()))
        .collect();
    let files: Vec<(&str, &str)> = texts.iter().map(|(n, c)| (n.as_str(), c.as_str())).collect();
    // Both stand before all files, the rules that set the score to 0 included.
    let items = vec![
        rule("http.request.path starts_with \"/odd\"", Action::Score(3)),
        rule(
            "http.request.path eq \"/quiet\"",
            Action::Skip(vec!["attack-sqli".into()]),
        ),
    ];
    let mut running = Running::new(items, &files);
    let mut send = |target: &str| {
        let given = Given::get(target)
            .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/120.0")
            .header("accept", "*/*");
        let outcome = running.send(&given);
        (outcome.verdict, outcome.score)
    };
    assert_eq!(send("/even?q=x"), (Verdict::Pass, 0));
    assert_eq!(send("/odd?q=x"), (Verdict::DetectMatch, 3));
    let sqli = "?q=1%27+or+%271%27=%271";
    let (verdict, score) = send(&format!("/even{sqli}"));
    assert_eq!(verdict, Verdict::Block);
    assert_eq!(send(&format!("/odd{sqli}")), (Verdict::Block, score + 3));
    assert_eq!(send(&format!("/quiet{sqli}")), (Verdict::Pass, 0));
}
