//! Every kind of mistake in rule files is an error that names file, line, what is wrong and its mend; nothing is ignored.

use cnx_waf::program::compile::{CompileOptions, SourceFile, compile};

/// A directive on the third line, a part of the message, a part of the mend.
const MISTAKES: &[(&str, &str, &str)] = &[
    // Directives.
    (
        "SecRul ARGS x \"id:1\"",
        "no directive is called SecRul",
        "did you mean SecRule?",
    ),
    ("RewriteRule a b", "no directive is called", "docs/seclang.md"),
    ("<IfModule x>", "sections of a web server", "only SecLang"),
    (
        "SecRuleEngine",
        "SecRuleEngine has 0 arguments",
        "write SecRuleEngine On|Off|DetectionOnly",
    ),
    ("SecRuleEngine Maybe", "no engine mode", "On, Off or DetectionOnly"),
    ("SecRequestBodyAccess Yes", "neither On nor Off", "write On or Off"),
    ("SecRequestBodyLimit 10MB", "no number of bytes", "digits only"),
    (
        "SecRequestBodyLimitAction Drop",
        "no limit action",
        "Reject or ProcessPartial",
    ),
    (
        "SecRequestBodyJsonDepthLimit 0",
        "no number from 1 to 10000",
        "write a number",
    ),
    ("SecRequestBodyNoFilesLimit x", "no number of bytes", "digits only"),
    ("SecArgumentsLimit many", "no number from 1", "write a number"),
    ("SecUploadFileLimit -1", "no number from 1", "write a number"),
    (
        "SecArgumentSeparator ab",
        "not one character",
        "SecArgumentSeparator \"&\"",
    ),
    ("SecCollectionTimeout soon", "no number from 1", "write a number"),
    (
        "SecCookieFormat 1",
        "SecCookieFormat 1 is wrong",
        "write SecCookieFormat 0",
    ),
    ("SecCookieV0Separator ,", "is wrong", "SecCookieV0Separator"),
    ("SecAuditEngine Sometimes", "is wrong", "On|Off|RelevantOnly"),
    ("SecAuditLogType Tape", "is wrong", "Serial|Concurrent"),
    ("SecAuditLogFormat XML", "is wrong", "JSON|Native"),
    ("SecAuditLogParts 123", "is wrong", "letters"),
    ("SecUploadFileMode 0999", "is wrong", "mode"),
    ("SecDebugLogLevel 12", "is wrong", "0 to 9"),
    ("SecPcreMatchLimit lots", "is wrong", "number"),
    ("SecTmpSaveUploadedFiles On", "is wrong", "Off"),
    ("SecXmlExternalEntity On", "is wrong", "Off"),
    ("SecIgnoreRuleCompilationErrors On", "is wrong", "Off"),
    (
        "SecRuleScript /x.lua",
        "SecRuleScript is not supported",
        "rules never run programs",
    ),
    (
        "SecRemoteRules key https://x",
        "SecRemoteRules is not supported",
        "signed bundle",
    ),
    (
        "SecGuardianLog |/bin/x",
        "SecGuardianLog is not supported",
        "rules never start programs",
    ),
    (
        "SecGeoLookupDb /x.mmdb",
        "SecGeoLookupDb is not supported",
        "@ipMatchFromFile",
    ),
    ("SecHttpBlKey k", "SecHttpBlKey is not supported", "@ipMatchFromFile"),
    (
        "SecHashEngine On",
        "SecHashEngine is not supported",
        "answers are not edited",
    ),
    (
        "SecContentInjection On",
        "SecContentInjection is not supported",
        "respond stage",
    ),
    (
        "Include none/*.conf",
        "no file of the rule set is called none/*.conf",
        "IncludeOptional",
    ),
    (
        "SecUnicodeMapFile none.mapping 20127",
        "there is no file none.mapping",
        "into the bundle",
    ),
    (
        "SecUnicodeMapFile words.data 20127",
        "has no code page 20127",
        "code page of the file",
    ),
    ("SecDataset d", "SecDataset has 1 arguments", "SecDataset name"),
    ("SecMarker", "SecMarker has 0 arguments", "SecMarker label"),
    ("SecRuleRemoveById x", "no rule id and no range", "942100-942199"),
    ("SecRuleRemoveById 9-1", "no rule id and no range", "942100-942199"),
    (
        "SecRuleUpdateActionById 77 \"deny\"",
        "there is no rule 77",
        "correct the id",
    ),
    (
        "SecRuleUpdateActionById 1:5 \"deny\"",
        "there is no rule 1:5",
        "correct the id",
    ),
    (
        "SecRuleUpdateActionById 1 \"id:5\"",
        "cannot be updated",
        "leave them out",
    ),
    (
        "SecRuleUpdateTargetById 1 \"ARG\"",
        "no variable is called ARG",
        "did you mean ARGS?",
    ),
    ("SecDefaultAction \"log,pass\"", "name no phase", "phase:2"),
    (
        "SecDefaultAction \"phase:2,log\"",
        "what blocking means",
        "add pass or deny",
    ),
    (
        "SecDefaultAction \"phase:2,pass,id:5\"",
        "cannot be defaults",
        "leave them out",
    ),
    // Words.
    (
        "SecRule ARGS \"x \"id:2\"",
        "text follows the closing quote",
        "backslash before a quote",
    ),
    ("SecRule ARGS \"x", "never closed", "close it"),
    ("SecDataset d `x", "backtick", "close it"),
    // Rules.
    ("SecRule ARGS x", "the rule has no id", "add id:NUMBER"),
    ("SecRule ARGS x \"id:1\"", "the id 1 is taken", "f.conf:1 has it"),
    ("SecRule ARGS x \"id:0\"", "no number from 1", "write a number"),
    (
        "SecRule ARGS x \"id:2,phase:6\"",
        "no number from 1 to 5",
        "write a number",
    ),
    (
        "SecRule ARGS x \"id:2,chain\"",
        "the chain has no next rule",
        "remove chain",
    ),
    ("SecRule !ARGS x \"id:2\"", "exclusions only", "without !"),
    ("SecRule ARGS| x \"id:2\"", "an empty target", "on each side of |"),
    ("SecRule ARGS: x \"id:2\"", "an empty selector", "write the key"),
    ("SecRule ARGS:/a x \"id:2\"", "does not end with one", "between slashes"),
    ("SecRule ARGS:/(/ x \"id:2\"", "the expression is wrong", "close it"),
    ("SecRule ARGS:/(?=a)/ x \"id:2\"", "look-around", "linear"),
    ("SecRule !&ARGS x \"id:2\"", "both ! and &", "without counting"),
    (
        "SecRule REQUEST_URI:x x \"id:2\"",
        "one value and takes no selector",
        "REQUEST_URI alone",
    ),
    (
        "SecRule XML://user x \"id:2\"",
        "XPath that is not understood",
        "XML:/*",
    ),
    (
        "SecRule ENV:HOME x \"id:2\"",
        "the variable ENV is not supported",
        "environment",
    ),
    (
        "SecRule STREAM_INPUT_BODY x \"id:2\"",
        "STREAM_INPUT_BODY is not supported",
        "REQUEST_BODY",
    ),
    // Operators.
    (
        "SecRule ARGS \"@rxx a\" \"id:2\"",
        "no operator is called @rxx",
        "did you mean rx?",
    ),
    (
        "SecRule ARGS \"@rx (a\" \"id:2\"",
        "a group is never closed",
        "write \\(",
    ),
    (
        "SecRule ARGS \"@rx [a\" \"id:2\"",
        "a class is never closed",
        "write \\[",
    ),
    (
        "SecRule ARGS \"@rx *a\" \"id:2\"",
        "quantifier with nothing before it",
        "backslash",
    ),
    ("SecRule ARGS \"@rx (?R)\" \"id:2\"", "not understood", "rewrite it"),
    (
        "SecRule ARGS \"@rx \\2(a)\" \"id:2\"",
        "group that does not exist",
        "correct its number",
    ),
    (
        "SecRule ARGS \"@rx (?<=a+)b\" \"id:2\"",
        "no fixed length",
        "one length",
    ),
    (
        "SecRule ARGS \"@rx (?:a{9999}){9999}\" \"id:2\"",
        "the expression",
        "smaller counted",
    ),
    ("SecRule ARGS \"@pm\" \"id:2\"", "@pm needs an argument", "write @pm"),
    (
        "SecRule ARGS \"@pmFromFile none.data\" \"id:2\"",
        "there is no file none.data",
        "into the bundle",
    ),
    (
        "SecRule ARGS \"@pmFromDataset none\" \"id:2\"",
        "there is no data set none",
        "SecDataset",
    ),
    (
        "SecRule ARGS \"@ipMatch 10.0.0.0/99\" \"id:2\"",
        "no address and no network",
        "10.0.0.0/8",
    ),
    ("SecRule ARGS \"@eq five\" \"id:2\"", "is no number", "whole number"),
    (
        "SecRule ARGS \"@validateByteRange 1-999\" \"id:2\"",
        "no byte and no range",
        "0 to 255",
    ),
    (
        "SecRule ARGS \"@validateUtf8Encoding x\" \"id:2\"",
        "takes no argument",
        "alone",
    ),
    (
        "SecRule ARGS \"@validateNid xx a\" \"id:2\"",
        "knows no country",
        "cl or us",
    ),
    (
        "SecRule ARGS \"@restpath /{a\" \"id:2\"",
        "name of the path is malformed",
        "between braces",
    ),
    (
        "SecRule ARGS \"@streq %{tx.a\" \"id:2\"",
        "never closed",
        "close it with }",
    ),
    (
        "SecRule ARGS \"@streq %{nix.a}\" \"id:2\"",
        "names no variable",
        "docs/seclang.md",
    ),
    (
        "SecRule ARGS \"@rbl sbl.example\" \"id:2\"",
        "would ask the network",
        "@ipMatchFromFile",
    ),
    (
        "SecRule ARGS \"@inspectFile x\" \"id:2\"",
        "@inspectFile is not supported",
        "FILES_TMP_CONTENT",
    ),
    (
        "SecRule ARGS \"@validateSchema x\" \"id:2\"",
        "@validateSchema is not supported",
        "XML:/*",
    ),
    (
        "SecRule ARGS \"@rsub s/a/b/\" \"id:2\"",
        "@rsub is not supported",
        "respond stage",
    ),
    // Actions.
    ("SecAction \"id:2,blok\"", "no action is called", "did you mean block?"),
    ("SecAction \"id:2,deny:403\"", "deny takes no value", "write deny alone"),
    ("SecAction \"id:2,msg\"", "msg needs a value", "write msg:text"),
    ("SecAction \"id:2,msg:'open\"", "never closed", "close it with '"),
    ("SecAction \"id:2,msg:'a'b\"", "text follows the quoted value", "comma"),
    ("SecAction \"id:2,severity:HIGH\"", "no severity", "EMERGENCY"),
    ("SecAction \"id:2,status:999\"", "no number from 100", "write a number"),
    (
        "SecAction \"id:2,t:lowercas\"",
        "no transformation is called",
        "did you mean lowercase?",
    ),
    (
        "SecAction \"id:2,allow:never\"",
        "allow:never is unknown",
        "allow:phase",
    ),
    ("SecAction \"id:2,skip:0\"", "no number from 1", "write a number"),
    ("SecAction \"id:2,skipAfter:NOWHERE\"", "names no marker", "SecMarker"),
    ("SecAction \"id:2,setvar:a=1\"", "names no collection", "setvar:tx.name"),
    ("SecAction \"id:2,setvar:args.a=1\"", "cannot be written", "tx, ip"),
    ("SecAction \"id:2,setvar:tx.=1\"", "names no variable", "setvar:tx.name"),
    (
        "SecAction \"id:2,initcol:tx=a\"",
        "no persistent collection",
        "ip, global",
    ),
    ("SecAction \"id:2,initcol:ip\"", "names no key", "initcol:ip="),
    (
        "SecAction \"id:2,expirevar:ip.a\"",
        "names no time",
        "expirevar:ip.name=60",
    ),
    (
        "SecAction \"id:2,expirevar:ip.a=soon\"",
        "names no time",
        "expirevar:ip.name=60",
    ),
    ("SecAction \"id:2,deprecatevar:ip.a=5\"", "is malformed", "60/300"),
    ("SecAction \"id:2,xmlns:a\"", "is malformed", "prefix=name"),
    ("SecAction \"id:2,redirect:%{x\"", "never closed", "close it"),
    (
        "SecAction \"id:2,exec:/bin/x\"",
        "the action exec is not supported",
        "never start programs",
    ),
    (
        "SecAction \"id:2,proxy:http://x\"",
        "the action proxy is not supported",
        "route",
    ),
    (
        "SecAction \"id:2,pause:1000\"",
        "the action pause is not supported",
        "limit",
    ),
    (
        "SecAction \"id:2,setenv:a=b\"",
        "the action setenv is not supported",
        "setvar",
    ),
    // ctl.
    (
        "SecAction \"id:2,ctl:ruleRemoveByld=1\"",
        "no ctl option",
        "did you mean ruleRemoveById?",
    ),
    ("SecAction \"id:2,ctl:ruleEngine\"", "has no value", "ctl:name=value"),
    ("SecAction \"id:2,ctl:ruleEngine=Maybe\"", "no engine mode", "On, Off"),
    (
        "SecAction \"id:2,ctl:auditEngine=Maybe\"",
        "is wrong",
        "On|Off|RelevantOnly",
    ),
    (
        "SecAction \"id:2,ctl:requestBodyProcessor=YAML\"",
        "no body processor",
        "URLENCODED",
    ),
    (
        "SecAction \"id:2,ctl:ruleRemoveTargetById=1\"",
        "names no target",
        "942100;ARGS:password",
    ),
    (
        "SecAction \"id:2,ctl:ruleRemoveTargetById=1;!ARGS\"",
        "not one plain target",
        "without ! and &",
    ),
    (
        "SecAction \"id:2,ctl:hashEngine=On\"",
        "ctl:hashEngine is not supported",
        "answers are not edited",
    ),
];

#[test]
fn every_mistake_is_named_with_place_and_mend() {
    assert!(MISTAKES.len() > 100);
    let mut wrong = String::new();
    for (directive, message, mend) in MISTAKES {
        let text = format!("SecRule ARGS a \"id:1,pass\"\n\n{directive}\n");
        let files = [
            SourceFile {
                name: "f.conf",
                content: text.as_bytes(),
            },
            SourceFile {
                name: "words.data",
                content: b"a\nb\n",
            },
        ];
        let list = compile(&files, CompileOptions::default()).err().unwrap_or_default();
        let said = list.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        let found = |d: &cnx_waf::seclang::diagnostic::Diagnostic| {
            &*d.place.file == "f.conf" && d.place.line == 3 && d.message.contains(message) && d.mend.contains(mend)
        };
        if !list.iter().any(found) {
            wrong.push_str(&format!("{directive}: {said}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn files_that_include_one_another_are_named() {
    let file = |name, content: &'static str| SourceFile {
        name,
        content: content.as_bytes(),
    };
    for list in [
        vec![file("a.conf", "Include b.conf"), file("b.conf", "Include a.conf")],
        vec![file("a.conf", "Include a.conf")],
        vec![
            file("m.conf", "Include a.list"),
            file("a.list", "Include b.list"),
            file("b.list", "Include a.list"),
        ],
    ] {
        let errors = compile(&list, CompileOptions::default()).err().unwrap_or_default();
        assert!(
            errors
                .iter()
                .any(|d| d.message.contains("circle") || d.message.contains("by itself")),
            "{errors:?}"
        );
    }
    let bytes = [
        file("a.conf", "SecMarker \u{e9}"),
        SourceFile {
            name: "b.conf",
            content: b"SecMarker \xff",
        },
    ];
    let errors = compile(&bytes, CompileOptions::default()).err().unwrap_or_default();
    assert_eq!(errors.len(), 1);
    assert!(errors[0].message.contains("not UTF-8") && &*errors[0].place.file == "b.conf");
}
