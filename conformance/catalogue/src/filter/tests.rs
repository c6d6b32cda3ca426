use proptest::prelude::*;

use super::matcher::{Comparison, Regex};
use super::*;
use crate::{Level, Need, Subject};

const PUSH: CaseInfo = CaseInfo {
    id: "KEKSEQ-005",
    area: "gdoi.push.seq",
    level: Level::Must,
    subject: Subject::Gm,
    title: "a reset sequence number is refused",
    requirements: &["GDOI-PUSH-039", "KEKSEQ-005"],
    sources: &["RFC 6407 §4.4"],
    needs: &[Need::Setup, Need::RawIp],
    catches: &["gm_no_seqcheck"],
    cost_secs: 45,
    ..CaseInfo::BLANK
};
const PULL: CaseInfo =
    CaseInfo { id: "REG-001", area: "gdoi.pull", level: Level::Should, subject: Subject::Ks, cost_secs: 5, ..PUSH };

fn selects(text: &str) -> (bool, bool) {
    let filter = Filter::parse(text).unwrap_or_else(|e| panic!("{e}"));
    let mut context = Context::default();
    context.last.insert("KEKSEQ-005".into(), Verdict::Fail);
    context.ics.declare("gm.replay.window", "64");
    context.ics.declare("ks.coop", "false");
    context.node.insert("os".into(), "ios-xe 17.12.1".into());
    (filter.matches(&PUSH, &context), filter.matches(&PULL, &context))
}

#[test]
fn predicates_look_at_what_they_name() {
    for (text, expected) in [
        ("all()", (true, true)),
        ("none()", (false, false)),
        ("KEKSEQ-005", (true, false)),
        ("KEKSEQ-*", (true, false)),
        ("id(=kekseq-005)", (true, false)),
        ("id(#REG*)", (false, true)),
        ("id(~SEQ)", (true, false)),
        ("id(/^REG-0+1$/)", (false, true)),
        ("area(gdoi)", (true, true)),
        ("area(gdoi.push)", (true, false)),
        ("area(seq)", (true, false)),
        ("area(=gdoi.push)", (false, false)),
        ("level(must)", (true, false)),
        ("role(ks)", (false, true)),
        ("subject(gm, ks)", (true, true)),
        ("req(GDOI-PUSH-039)", (true, true)),
        ("spec(gdoi) and spec(getvpn)", (true, true)),
        ("spec(ikev1)", (false, false)),
        ("title(reset)", (true, true)),
        ("source(\"§4.4\")", (true, true)),
        ("needs(raw-ip)", (true, true)),
        ("needs(console)", (false, false)),
        ("catches(gm_no_seqcheck)", (true, true)),
        ("defect(~ks_)", (false, false)),
        ("verdict(fail)", (true, false)),
        ("cost(<10s)", (false, true)),
        ("cost(>=45) & cost(<=1m)", (true, false)),
        ("cap(gm.replay.window)", (true, true)),
        ("cap(ks.coop)", (false, false)),
        ("cap(gm.replay.window=64)", (true, true)),
        ("cap(gm.replay.window) = 65", (false, false)),
        ("node.os ~ 17.12", (true, true)),
        ("node(os~17.11)", (false, false)),
    ] {
        assert_eq!(selects(text), expected, "{text}");
    }
}

#[test]
fn operators_bind_as_documented() {
    for (text, expected) in [
        ("level(must) or level(should) and role(ks)", (true, true)),
        ("(level(must) or level(should)) and role(ks)", (false, true)),
        ("all() - role(ks)", (true, false)),
        ("all() - role(ks) - role(gm)", (false, false)),
        ("not role(ks) | role(ks)", (true, true)),
        ("! ( role(ks) + role(gm) )", (false, false)),
        ("not not role(gm)", (true, false)),
        ("NOT role(ks) AND all()", (true, false)),
    ] {
        assert_eq!(selects(text), expected, "{text}");
    }
}

#[test]
fn faults_say_what_where_and_what_was_probably_meant() {
    for (text, at, part) in [
        ("", 0, "empty"),
        ("aera(gdoi)", 0, "did you mean `area`"),
        ("level(mst)", 6, "did you mean `MUST`"),
        ("needs(consol)", 6, "did you mean `console`"),
        ("verdict(failed)", 8, "did you mean `fail`"),
        ("area(gdoi) xor role(ks)", 11, "expected"),
        ("area(gdoi) and", 14, "ends too early"),
        ("(area(gdoi)", 11, "`)`"),
        ("area()", 0, "needs something"),
        ("area", 4, "`(`"),
        ("id(/[/)", 3, "regular expression"),
        ("cost(60s)", 5, "expected cost(<60s)"),
        ("cost(<soon)", 5, "no length of time"),
        ("title(\"open)", 12, "closing quote"),
        ("host.os ~ 3", 0, "node."),
        ("all(x)", 4, "takes nothing"),
    ] {
        let error = Filter::parse(text).expect_err(text);
        assert!(error.message.contains(part), "{text}: {error}");
        assert_eq!(error.at, at, "{text}: {error}");
    }
    let deep = format!("{}all(){}", "(".repeat(5000), ")".repeat(5000));
    assert!(Filter::parse(&deep).is_err_and(|e| e.message.contains("inside one another")));
    assert!(Filter::parse(&"not ".repeat(5000)).is_err());
    let deepest = format!("{}A{}", "(".repeat(60), ")".repeat(60));
    assert!(Filter::parse(&deepest).is_ok() && Filter::parse(&format!("{}A", "not ".repeat(60))).is_ok());
    let regex = Filter::parse(&format!("title(/{}/)", "(a)".repeat(1_000)));
    assert!(regex.is_err_and(|e| e.message.contains("longer")));
    for sign in ["+", "|", " & ", " - ", " or ", " AND "] {
        let chain = format!("{}A", format!("A{sign}").repeat(20_000));
        assert!(Filter::parse(&chain).is_err_and(|e| e.message.contains("operators")), "{sign}");
    }
    let long = format!("{}A", "A|".repeat(250));
    let longest = Filter::parse(&long).expect("a long chain reads");
    assert!(!longest.matches(&PUSH, &Context::default()) && longest.to_string().len() > long.len());
    // What reads must print as what reads: a comma is printed with a space behind it.
    let patterns = Filter::parse(&format!("id(A{})", ",-P1-001".repeat(1_000))).expect("patterns are no operators");
    assert!(Filter::parse(&patterns.to_string()).is_ok());
    let ids: Vec<String> = (0..5_000).map(|n| format!("A-{n:03}")).collect();
    assert!(Filter::parse(&format!("id({})", ids.join(", "))).is_ok());
}

#[test]
fn names_that_nothing_has_are_reported_with_a_suggestion() {
    let unknown = |text: &str| Filter::parse(text).expect(text).unknown_names([&PUSH, &PULL]);
    assert_eq!(unknown("KEKSEQ-005 or area(gdoi.pull) or req(GDOI-PUSH-039)"), Vec::<String>::new());
    assert_eq!(unknown("KEKSEQ-05"), ["no case matches `id(KEKSEQ-05)`, did you mean `KEKSEQ-005`?"]);
    assert!(unknown("not area(gdoi.psh)")[0].contains("gdoi.p"));
    assert!(unknown("req(GDOI-PUSH-939)")[0].contains("did you mean"));
    assert_eq!(unknown("id(#ZZ*)").len(), 1);
}

#[test]
fn why_names_the_clause_that_took_a_case_out() {
    let why = |text: &str, case: &CaseInfo| Filter::parse(text).expect(text).why(case, &Context::default());
    assert_eq!(why("level(must)", &PUSH), None);
    assert_eq!(
        why("area(gdoi) and level(must)", &PULL).as_deref(),
        Some("`level(must)` does not hold: level is SHOULD")
    );
    assert_eq!(why("all() - role(ks)", &PULL).as_deref(), Some("`- subject(ks)` takes it out: `subject(ks)` holds"));
    assert!(why("not area(gdoi)", &PULL).is_some_and(|w| w.contains("takes it out")));
    assert!(why("id(A) or id(B)", &PULL).is_some_and(|w| w.contains("id(A)") && w.contains("id(B)")));
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z0-9._*?:-]{1,12}", "[ -~§é]{0,12}"]
}

fn matcher() -> impl Strategy<Value = Matcher> {
    prop_oneof![
        word().prop_map(Matcher::Word),
        word().prop_map(Matcher::Exact),
        word().prop_map(Matcher::Contains),
        word().prop_map(Matcher::Glob),
        "[a-z/.*]{1,8}".prop_filter_map("a regular expression", |t| Regex::new(&t).ok().map(Matcher::Regex)),
    ]
}

fn leaf() -> impl Strategy<Value = Expr> {
    let named = prop_oneof![
        Just(Predicate::Id),
        Just(Predicate::Req),
        Just(Predicate::Area),
        Just(Predicate::Title),
        Just(Predicate::Source),
        Just(Predicate::Catches),
        Just(Predicate::Spec),
    ];
    let sign = prop_oneof![
        Just(Comparison::Less),
        Just(Comparison::LessOrEqual),
        Just(Comparison::Greater),
        Just(Comparison::GreaterOrEqual)
    ];
    prop_oneof![
        Just(Expr::All),
        Just(Expr::None),
        (named, prop::collection::vec(matcher(), 1..3)).prop_map(|(p, m)| Expr::Is(p, m)),
        (sign, any::<u32>()).prop_map(|(c, n)| Expr::Is(Predicate::Cost, vec![Matcher::Time(c, u64::from(n))])),
        ("[a-z.]{1,8}", word()).prop_map(|(path, value)| {
            Expr::Is(Predicate::Cap, vec![Matcher::Leaf(path, Box::new(Matcher::Exact(value)))])
        }),
        Just(Expr::Is(Predicate::Level, vec![Matcher::Word("must".into())])),
    ]
}

fn expr() -> impl Strategy<Value = Expr> {
    leaf().prop_recursive(4, 24, 2, |inner| {
        let pair = (inner.clone().prop_map(Box::new), inner.clone().prop_map(Box::new));
        prop_oneof![
            inner.prop_map(|e| Expr::Not(Box::new(e))),
            pair.clone().prop_map(|(a, b)| Expr::And(a, b)),
            pair.clone().prop_map(|(a, b)| Expr::Minus(a, b)),
            pair.prop_map(|(a, b)| Expr::Or(a, b)),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_reads_back_as_the_same_tree(expr in expr()) {
        let printed = expr.to_string();
        let read = Filter::parse(&printed).map(|f| f.expr);
        prop_assert_eq!(read.as_ref().ok(), Some(&expr), "{} -> {:?}", printed, read);
    }

    #[test]
    fn no_text_makes_the_reader_panic_and_faults_point_into_the_text(text in "\\PC{0,40}") {
        if let Err(error) = Filter::parse(&text) {
            prop_assert!(error.at <= text.len());
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn a_case_is_either_selected_or_has_a_reason(expr in expr()) {
        let filter = Filter { expr };
        let context = Context::default();
        prop_assert_eq!(filter.matches(&PUSH, &context), filter.why(&PUSH, &context).is_none());
    }
}
