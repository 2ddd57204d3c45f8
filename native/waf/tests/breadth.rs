//! What rule sets beyond the Core Rule Set say, one point at a time.

mod common;

use cnx_waf::engine::Verdict;
use common::{Files, Gateway};

const FORM: &str = "application/x-www-form-urlencoded";

fn files(list: &[(&str, &str)]) -> Files {
    list.iter()
        .map(|(n, c)| ((*n).to_owned(), c.as_bytes().to_vec()))
        .collect()
}

/// Rules, a target, headers, and the ids that must report in this order.
fn check(name: &str, rules: &str, target: &str, headers: &[(&str, &str)], want: &[u32]) {
    let mut g = Gateway::rules(rules);
    g.get(target, headers);
    assert_eq!(g.ids(), want, "{name}");
}

#[test]
fn rules_mean_what_their_engines_mean() {
    let basic = [("authorization", "Basic YWxpY2U6c2VjcmV0")];
    for (name, rules, target, headers, want) in [
        (
            "restpath names parts of the path",
            "SecRule REQUEST_URI \"@restpath /users/{id}/posts/{post}\" \"id:1,pass\"\nSecRule ARGS_PATH:id \"@streq 5\" \"id:2,pass\"\nSecRule ARGS_PATH \"@streq 7\" \"id:3,pass\"\nSecRule &ARGS_PATH \"@eq 2\" \"id:4,pass\"",
            "/users/5/posts/7?x",
            &[][..],
            &[1, 2, 3, 4][..],
        ),
        (
            "expressions hold macros",
            "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.want=a|b.c\"\nSecRule ARGS \"@rx ^(?:%{tx.want})$\" \"id:2,pass,capture\"\nSecRule TX:0 \"@streq bxc\" \"id:3,pass\"",
            "/?x=bxc",
            &[],
            &[2, 3],
        ),
        (
            "a macro that makes no expression matches nothing",
            "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.want=(\"\nSecRule ARGS \"@rx %{tx.want}\" \"id:2,pass\"\nSecRule ARGS \"!@rx %{tx.want}\" \"id:3,pass\"",
            "/?x=(",
            &[],
            &[3],
        ),
        (
            "look-around and back-references",
            "SecRule ARGS \"@rx <(?!b)\" \"id:1,pass\"\nSecRule ARGS \"@rx (\\w)=\\1\" \"id:2,pass,capture\"\nSecRule TX:1 \"@streq a\" \"id:3,pass\"",
            "/?x=<a&y=a=a",
            &[],
            &[1, 2, 3],
        ),
        (
            "rxGlobal writes the groups of all matches",
            "SecRule ARGS \"@rxGlobal (\\d)x\" \"id:1,pass,capture\"\nSecRule TX:3 \"@streq 2\" \"id:2,pass\"",
            "/?q=1x2x",
            &[],
            &[1, 2],
        ),
        (
            "data sets",
            "SecDataset words `\n# none\nalpha\nbeta\n`\nSecDataset nets `\n192.0.2.0/24\n`\nSecRule ARGS \"@pmFromDataset words\" \"id:1,pass\"\nSecRule REMOTE_ADDR \"@ipMatchFromDataset nets\" \"id:2,pass\"",
            "/?q=xBETA",
            &[],
            &[1, 2],
        ),
        (
            "the user of Basic authentication",
            "SecRule REMOTE_USER \"@streq alice\" \"id:1,pass\"\nSecRule AUTH_TYPE \"@streq Basic\" \"id:2,pass\"",
            "/",
            &basic,
            &[1, 2],
        ),
        (
            "the whole request",
            "SecRule FULL_REQUEST \"@contains host: example.com\" \"id:1,pass\"",
            "/",
            &[],
            &[1],
        ),
        (
            "the clock",
            "SecRule TIME_YEAR \"@ge 2024\" \"id:1,pass\"\nSecRule TIME_EPOCH \"@gt 1700000000\" \"id:2,pass\"\nSecRule TIME \"@rx ^\\d\\d:\\d\\d:\\d\\d$\" \"id:3,pass\"\nSecRule TIME_HOUR|TIME_WDAY|TIME_MON \"@lt 24\" \"id:4,pass\"\nSecRule TIME_DAY \"@ge 1\" \"id:5,pass,msg:'%{TIME_DAY}'\"\nSecRule DURATION \"@ge 0\" \"id:6,pass\"",
            "/",
            &[],
            &[1, 2, 3, 4, 4, 4, 5, 6],
        ),
        (
            "without a database and a key nothing is found",
            "SecRule REMOTE_ADDR \"@geoLookup\" \"id:1,pass,chain\"\nSecRule GEO:COUNTRY_CODE \"@streq DE\"\nSecRule REMOTE_ADDR \"@rbl dnsbl.httpbl.org\" \"id:2,pass\"",
            "/",
            &[],
            &[],
        ),
        (
            "an update replaces actions of a link",
            "SecRule ARGS a \"id:1,pass,chain\"\nSecRule ARGS b \"t:none\"\nSecRuleUpdateActionById 1:1 \"t:lowercase\"\nSecRule ARGS x \"id:2,pass,nolog\"\nSecRuleUpdateActionById 2 \"log\"",
            "/?x=aB&y=x",
            &[],
            &[1, 2],
        ),
        (
            "an application has its name",
            "SecWebAppId shop\nSecRule WEBAPPID \"@streq shop\" \"id:1,pass\"",
            "/",
            &[],
            &[1],
        ),
        (
            "severities by number and name",
            "SecRule ARGS a \"id:1,pass,severity:2\"\nSecRule ARGS a \"id:2,pass,severity:WARNING\"\nSecRule HIGHEST_SEVERITY \"@eq 2\" \"id:3,pass\"",
            "/?x=a",
            &[],
            &[1, 2, 3],
        ),
        (
            "keys of removed targets by expression",
            "SecAction \"id:1,phase:1,pass,nolog,ctl:ruleRemoveTargetById=2;ARGS:/^x/,ctl:ruleRemoveTargetByTag=t;ARGS:/y$/\"\nSecRule ARGS a \"id:2,pass\"\nSecRule ARGS a \"id:3,pass,tag:t\"",
            "/?x1=a&y=a",
            &[],
            &[2, 3],
        ),
        (
            "updates with keys by expression",
            "SecRule ARGS a \"id:1,pass,tag:t,msg:m\"\nSecRuleUpdateTargetById 1 \"!ARGS:/^x/\"\nSecRuleUpdateTargetByTag t \"!ARGS:/^y/\"\nSecRuleUpdateTargetByMsg m \"!ARGS:/^z/\"",
            "/?x=a&y=a&z=a&q=a",
            &[],
            &[1],
        ),
        (
            "ranges of ids",
            "SecRule ARGS a \"id:10,pass\"\nSecRule ARGS a \"id:20,pass\"\nSecRule ARGS a \"id:30,pass\"\nSecRuleRemoveById 10-15 \"28-40\"",
            "/?q=a",
            &[],
            &[20],
        ),
    ] {
        check(name, rules, target, headers, want);
    }
}

#[test]
fn counters_of_addresses_outlive_a_request() {
    let rules = "SecWebAppId test-counters\n\
         SecAction \"id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR},setvar:ip.n=+1,expirevar:ip.n=3600\"\n\
         SecRule IP:n \"@gt 2\" \"id:2,phase:1,deny,msg:'%{ip.n} requests'\"\n\
         SecRule ARGS:name \"@rx .\" \"id:3,phase:1,pass,nolog,setvar:'ip.seen_%{MATCHED_VAR}=1'\"\n\
         SecRule IP:/^seen_/ \"@eq 1\" \"id:4,phase:2,pass\"\n\
         SecRule ARGS:forget \"@eq 1\" \"id:5,phase:2,pass,nolog,setvar:!ip.n\"";
    let mut g = Gateway::rules(rules);
    assert_eq!(g.get("/", &[]).verdict, Verdict::Pass);
    assert_eq!(g.get("/?name=bob", &[]).verdict, Verdict::DetectMatch);
    assert_eq!(g.ids(), [4]);
    // Another thread, another program of the same application: the counters are the process's.
    let mut other = Gateway::rules(rules);
    assert_eq!(other.get("/", &[]).verdict, Verdict::Block);
    assert_eq!(other.messages(), ["3 requests"]);
    let mut apart = Gateway::rules(&rules.replace("test-counters", "test-counters-2"));
    assert_eq!(apart.get("/?forget=1", &[]).verdict, Verdict::Pass);
    assert_eq!(apart.get("/", &[]).verdict, Verdict::Pass);
    assert_eq!(apart.get("/", &[]).verdict, Verdict::Pass);
    assert_eq!(apart.get("/", &[]).verdict, Verdict::Block);
}

#[test]
fn sessions_users_and_the_last_phase_have_collections() {
    let rules = "SecWebAppId test-sessions\n\
         SecRule REQUEST_COOKIES:sid \"@rx .\" \"id:1,phase:1,pass,nolog,setsid:%{MATCHED_VAR},setuid:u-%{MATCHED_VAR},setrsc:/x\"\n\
         SecRule SESSIONID \"@streq s1\" \"id:2,phase:1,pass\"\n\
         SecRule USERID \"@streq u-s1\" \"id:3,phase:2,pass\"\n\
         SecRule SESSION:n \"@eq 1\" \"id:4,phase:2,pass\"\n\
         SecRule USER:n|RESOURCE:n \"@eq 5\" \"id:5,phase:2,pass\"\n\
         SecAction \"id:6,phase:5,pass,nolog,setvar:session.n=+1,setvar:user.n=5,deprecatevar:session.n=1/3600\"";
    let mut g = Gateway::rules(rules);
    let cookie = [("cookie", "sid=s1")];
    g.get("/", &cookie);
    assert_eq!(g.ids(), [2, 3]);
    g.get("/", &cookie);
    assert_eq!(g.ids(), [2, 3, 4, 5]);
    g.get("/", &[("cookie", "sid=s2")]);
    assert_eq!(g.ids(), []);
}

#[test]
fn collections_that_nobody_opened_live_for_one_transaction() {
    let rules = "SecAction \"id:1,phase:1,pass,nolog,setvar:ip.n=+1\"\nSecRule IP:n \"@eq 1\" \"id:2,pass\"";
    let mut g = Gateway::rules(rules);
    for _ in 0..3 {
        g.get("/", &[]);
        assert_eq!(g.ids(), [2]);
    }
}

#[test]
fn records_do_not_show_what_rules_hide() {
    let rules = "SecAction \"id:1,phase:1,pass,nolog,sanitiseArg:pin,sanitiseRequestHeader:X-Key\"\n\
         SecRule ARGS|REQUEST_HEADERS:X-Key \"@contains 1234\" \"id:2,phase:2,pass,msg:'found %{MATCHED_VAR} there'\"\n\
         SecRule ARGS:open \"@contains 1234\" \"id:3,phase:2,pass,sanitiseMatched,msg:'%{MATCHED_VAR}'\"";
    let mut g = Gateway::rules(rules);
    g.get("/?open=x1234&PIN=y1234", &[("x-key", "z1234")]);
    let shown: Vec<(u32, String, String)> = g
        .transaction
        .reports()
        .map(|r| {
            let text = |t: &[u8]| String::from_utf8_lossy(t).into_owned();
            (r.rule, text(r.value), text(r.message))
        })
        .collect();
    let masked = "<masked, 5 bytes>";
    let want = [
        (2, "x1234", "found x1234 there"),
        (2, masked, "found <masked> there"),
        (2, masked, "found <masked> there"),
        (3, masked, "<masked>"),
    ];
    assert_eq!(shown, want.map(|(id, v, m)| (id, v.to_owned(), m.to_owned())));
}

#[test]
fn code_points_are_mapped_as_the_file_says() {
    let map = "1252 (ANSI)\n0100:41\n\n20127 (US-ASCII)\n00ab:3c 2018:27 ff02:22 0041:42 \n\n28591 x\n2018:21\n";
    let rules = "SecUnicodeMapFile unicode.mapping 20127\nSecRule ARGS_GET \"@streq <'\\\".Ba%u00\" \"id:1,pass,t:urlDecodeUni\"";
    let mut g = Gateway::new(&files(&[("t.conf", rules), ("unicode.mapping", map)]));
    g.get("/?q=%25u00ab%25u2018%25uFF02%25u3002%25u0041%25u0061%25u00", &[]);
    assert_eq!(g.ids(), [1]);
}

#[test]
fn bodies_without_their_files_have_a_limit_of_their_own() {
    let rules = "SecRequestBodyNoFilesLimit 100\nSecRule REQBODY_ERROR \"@eq 1\" \"id:1,pass\"\nSecRule INBOUND_DATA_ERROR \"@eq 1\" \"id:2,pass\"";
    let mut g = Gateway::rules(rules);
    g.post(FORM, &[b'x'; 101]);
    assert_eq!(g.ids(), [1, 2]);
    g.post(FORM, &[b'x'; 100]);
    assert_eq!(g.ids(), []);
    let file = format!(
        "--B\r\nContent-Disposition: form-data; name=f; filename=x\r\n\r\n{}\r\n--B--\r\n",
        "d".repeat(500)
    );
    g.post("multipart/form-data; boundary=B", file.as_bytes());
    assert_eq!(g.ids(), []);
}

#[test]
fn files_include_files_of_the_rule_set() {
    let list = files(&[
        (
            "main.conf",
            "SecRule ARGS a \"id:1,pass\"\nInclude rules/*.conf\nIncludeOptional none/*.conf\nSecRule ARGS a \"id:9,pass\"",
        ),
        ("rules/a.conf", "Include inner.list\nSecRule ARGS a \"id:3,pass\""),
        ("rules/b.conf", "SecRule ARGS a \"id:4,pass\""),
        ("rules/inner.list", "SecRule ARGS a \"id:2,pass\""),
    ]);
    let mut g = Gateway::new(&list);
    g.get("/?x=a", &[]);
    assert_eq!(g.ids(), [1, 2, 3, 4, 9]);
}

/// Every directive of the recommended configurations of ModSecurity 3 and Coraza.
#[test]
fn recommended_configurations_load() {
    let rules = r#"
SecRuleEngine DetectionOnly
SecRequestBodyAccess On
SecRule REQUEST_HEADERS:Content-Type "^(?:application(?:/soap\+|/)|text/)xml" \
     "id:'200000',phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule REQUEST_HEADERS:Content-Type "^application/(?:[a-z0-9.-]+[+])?json" \
     "id:'200006',phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRequestBodyLimit 13107200
SecRequestBodyNoFilesLimit 131072
SecRequestBodyInMemoryLimit 131072
SecRequestBodyLimitAction Reject
SecRequestBodyJsonDepthLimit 512
SecArgumentsLimit 1000
SecRule &ARGS "@ge 1000" "id:'200007', phase:2,t:none,log,deny,status:400,msg:'Failed to fully parse request body due to large argument count',severity:2"
SecRule REQBODY_ERROR "!@eq 0" "id:'200002', phase:2,t:none,log,deny,status:400,msg:'Failed to parse request body.',logdata:'%{reqbody_error_msg}',severity:2"
SecRule MULTIPART_STRICT_ERROR "!@eq 0" \
"id:'200003',phase:2,t:none,log,deny,status:400, \
msg:'Multipart request body failed strict validation: PE %{REQBODY_PROCESSOR_ERROR}, BQ %{MULTIPART_BOUNDARY_QUOTED}, SM %{MULTIPART_MISSING_SEMICOLON}, FL %{MULTIPART_FILE_LIMIT_EXCEEDED}'"
SecRule MULTIPART_UNMATCHED_BOUNDARY "@eq 1" "id:'200004',phase:2,t:none,log,deny,msg:'Multipart parser detected a possible unmatched boundary.'"
SecPcreMatchLimit 1000
SecPcreMatchLimitRecursion 1000
SecRule TX:/^MSC_/ "!@streq 0" "id:'200005',phase:2,t:none,deny,msg:'ModSecurity internal error flagged: %{MATCHED_VAR_NAME}'"
SecRule TX:/^COR_/ "!@streq 0" "id:'200008',phase:2,t:none,deny,msg:'Coraza internal error flagged: %{MATCHED_VAR_NAME}'"
SecResponseBodyAccess On
SecResponseBodyMimeType text/plain text/html text/xml
SecResponseBodyLimit 524288
SecResponseBodyLimitAction ProcessPartial
SecTmpDir /tmp/
SecDataDir /tmp/
SecUploadKeepFiles Off
SecUploadFileMode 0600
SecDebugLogLevel 3
SecAuditEngine RelevantOnly
SecAuditLogRelevantStatus "^(?:5|4(?!04))"
SecAuditLogParts ABIJDEFHZ
SecAuditLogType Serial
SecAuditLogFormat JSON
SecAuditLog /var/log/modsec_audit.log
SecArgumentSeparator &
SecCookieFormat 0
SecUnicodeMapFile unicode.mapping 20127
SecStatusEngine On
"#;
    let map = "20127 (US-ASCII)\n00ab:3c\n";
    let mut g = Gateway::new(&files(&[("modsecurity.conf", rules), ("unicode.mapping", map)]));
    g.post("application/json", b"{\"a\":");
    assert_eq!(g.ids(), [200_002]);
    g.post(
        "multipart/form-data; boundary=\"B\"",
        b"--B\r\nContent-Disposition: form-data; name=a\r\n\r\nv\r\n--B--\r\n",
    );
    assert_eq!(g.ids(), [200_003]);
    g.post(FORM, b"a=1");
    assert_eq!(g.ids(), []);
}
