//! What is understood of conditions, and what is refused, and where.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use proptest::prelude::*;
use starsnap_tablet::schema::DecimalKind;
use starsnap_tablet::{Aggregation, LogicalType, Op};

fn column(name: &str, ty: LogicalType) -> Column {
    Column {
        unique_id: 1,
        name: name.into(),
        ty,
        is_key: false,
        aggregation: Aggregation::None,
        nullable: true,
        default_value: None,
        auto_increment: false,
        has_bitmap_index: false,
        has_bloom_filter: false,
        has_ngram_filter: false,
    }
}

fn columns() -> Vec<Column> {
    let decimal = LogicalType::Decimal { kind: DecimalKind::D64, precision: 10, scale: 2 };
    vec![
        column("i", LogicalType::Int),
        column("t", LogicalType::TinyInt),
        column("li", LogicalType::LargeInt),
        column("d", decimal),
        column("f", LogicalType::Float),
        column("dbl", LogicalType::Double),
        column("b", LogicalType::Boolean),
        column("s", LogicalType::Varchar(20)),
        column("day", LogicalType::Date),
        column("at", LogicalType::DateTime),
        column("j", LogicalType::Json),
        column("bin", LogicalType::Varbinary(9)),
        column("an odd `name", LogicalType::Int),
    ]
}

fn filter(text: &str) -> Result<Filter, StatementError> {
    let columns = columns();
    Condition::parse(text)?.bind(&|name| columns.iter().find(|c| c.name.eq_ignore_ascii_case(name)))
}

fn compare(column: &str, op: Op, value: &str) -> Filter {
    Filter::Compare { column: column.into(), op, value: value.into() }
}

fn every(column: &str, truth: bool) -> Filter {
    let null = Filter::IsNull { column: column.into(), negated: truth };
    let both = vec![null, Filter::Constant(None)];
    if truth { Filter::Or(both) } else { Filter::And(both) }
}

#[track_caller]
fn same(text: &str, wanted: Filter) {
    assert_eq!(filter(text).map_err(|e| e.to_string()), Ok(wanted), "{text}");
}

#[test]
fn comparisons_and_their_values() {
    for (text, op) in
        [("=", Op::Eq), ("!=", Op::Ne), ("<>", Op::Ne), ("<", Op::Lt), ("<=", Op::Le), (">", Op::Gt), (">=", Op::Ge)]
    {
        same(&format!("i {text} 5"), compare("i", op, "5"));
        same(&format!("I{text}-5"), compare("i", op, "-5"));
    }
    same("5 < i", compare("i", Op::Gt, "5"));
    same("(i) >= + 5", compare("i", Op::Ge, "5"));
    same("`an odd ``name` = 1", compare("an odd `name", Op::Eq, "1"));
    same("s = 'it''s \\'q\\' \\n'", compare("s", Op::Eq, "it's 'q' \n"));
    same("s = \"x\"", compare("s", Op::Eq, "x"));
    same("b", compare("b", Op::Eq, "true"));
    same("b = FALSE", compare("b", Op::Eq, "0"));
    same("b = 'true'", compare("b", Op::Eq, "true"));
    same("b = 2", every("b", false));
    same("bin = x'0aFF'", Filter::Compare { column: "bin".into(), op: Op::Eq, value: vec![10, 255] });
    same("li = 170141183460469231731687303715884105727", compare("li", Op::Eq, &i128::MAX.to_string()));
    same("li < 170141183460469231731687303715884105728", every("li", true));
    same("i = '012'", compare("i", Op::Eq, "12"));
    same("i <=> NULL", Filter::IsNull { column: "i".into(), negated: false });
    same("i = NULL", Filter::Constant(None));
    let not_null = Filter::IsNull { column: "i".into(), negated: true };
    same("i <=> 5", Filter::And(vec![compare("i", Op::Eq, "5"), not_null]));
}

#[test]
fn numbers_without_a_place_in_the_column() {
    same("i < 5.5", compare("i", Op::Le, "5"));
    same("i >= 5.5", compare("i", Op::Gt, "5"));
    same("i > -5.5", compare("i", Op::Ge, "-5"));
    same("i <= -5.5", compare("i", Op::Lt, "-5"));
    same("i = 5.5", every("i", false));
    same("i <> 5.5", every("i", true));
    same("i = 5.00", compare("i", Op::Eq, "5"));
    same("t < 1000", every("t", true));
    same("t > -1000", every("t", true));
    same("t >= 128", every("t", false));
    same("t <> 1000", every("t", true));
    same("t <= 127", compare("t", Op::Le, "127"));
    same("d > 1.234", compare("d", Op::Gt, "1.23"));
    same("d = 1.2", compare("d", Op::Eq, "1.2"));
    same("d < -.005", compare("d", Op::Lt, "0.00"));
    same("b > -0.5", compare("b", Op::Ge, "0"));
    same("b < -0.5", compare("b", Op::Lt, "0"));
    same("b = -0", compare("b", Op::Eq, "0"));
    same("b > -1", every("b", true));
    same("i <= -0.0", compare("i", Op::Le, "0"));
    same("d = '1.50'", compare("d", Op::Eq, "1.5"));
    let double = |column: &str, op, value| Filter::CompareDouble { column: column.into(), op, value };
    same("dbl < 1.5", double("dbl", Op::Lt, 1.5));
    same("dbl < '1.5e3'", double("dbl", Op::Lt, 1500.0));
    same("i < 1e3", double("i", Op::Lt, 1000.0));
    same("f = 0.1", double("f", Op::Eq, 0.1));
    same("f = 16777217", double("f", Op::Eq, 16_777_216.0));
}

#[test]
fn dates_and_times() {
    same("day = '2024-02-29'", compare("day", Op::Eq, "2024-02-29"));
    same("day < 20240229", compare("day", Op::Lt, "2024-02-29"));
    same("day = '2024-02-29 12:00:00'", compare("day", Op::Eq, "2024-02-29"));
    same("day < DATETIME '2024-02-29 12:00:00'", compare("day", Op::Le, "2024-02-29"));
    same("day = DATETIME '2024-02-29 12:00:00'", every("day", false));
    same("day >= DATE '2024-2-9'", compare("day", Op::Ge, "2024-02-09"));
    same("at > '2024-02-29'", compare("at", Op::Gt, "2024-02-29 00:00:00"));
    same("at = '2024-02-29T01:02:03.5'", compare("at", Op::Eq, "2024-02-29 01:02:03.500000"));
    same("at = 20240229010203", compare("at", Op::Eq, "2024-02-29 01:02:03"));
    for bad in ["2023-02-29", "2024-13-01", "24-01-01", "2024-01-01 25:00:00", "x", "", "2024-01-01 1:2:3."] {
        let error = filter(&format!("at = '{bad}'")).unwrap_err();
        assert_eq!((error.line, error.column), (1, 6), "{bad}: {error}");
    }
}

#[test]
fn lists_ranges_patterns_and_joins() {
    let list = |values: &[&str]| Filter::In {
        column: "i".into(),
        values: values.iter().map(|v| v.as_bytes().to_vec()).collect(),
        negated: false,
    };
    same("i IN (1, 2)", Filter::Or(vec![list(&["1", "2"])]));
    same("i not in (1, NULL)", Filter::Not(Box::new(Filter::Or(vec![Filter::Constant(None), list(&["1"])]))));
    let between = Filter::And(vec![compare("i", Op::Ge, "1"), compare("i", Op::Le, "2")]);
    same("i BETWEEN 1 AND 2", between.clone());
    same("i NOT BETWEEN 1 AND 2 OR b", Filter::Or(vec![Filter::Not(Box::new(between)), compare("b", Op::Eq, "true")]));
    same("s LIKE 'a%'", Filter::StartsWith { column: "s".into(), prefix: b"a".to_vec() });
    let like = |pattern: &str| Filter::Like { column: "s".into(), pattern: pattern.into() };
    same("s LIKE '%a_'", like("%a_"));
    same(r"s LIKE 'a\%%'", like(r"a\%%"));
    same("s NOT LIKE 'a'", Filter::Not(Box::new(like("a"))));
    // AND binds closer than OR, NOT closer than either.
    let (one, two, three) = (compare("i", Op::Eq, "1"), compare("i", Op::Eq, "2"), compare("i", Op::Eq, "3"));
    same("i=1 or i=2 && i=3", Filter::Or(vec![one.clone(), Filter::And(vec![two.clone(), three.clone()])]));
    same("(i=1 || i=2) and not i=3", Filter::And(vec![Filter::Or(vec![one, two]), Filter::Not(Box::new(three))]));
    same("i IS NOT NULL -- why not", Filter::IsNull { column: "i".into(), negated: true });
    same("!(TRUE)", Filter::Not(Box::new(Filter::Constant(Some(true)))));
}

#[test]
fn what_is_not_understood_is_named_with_its_place() {
    for (text, column, about) in [
        ("", 1, "the end"),
        ("i =", 4, "the end"),
        ("i = 5 5", 7, "number 5"),
        ("i = 5 AND", 10, "the end"),
        ("nothing = 5", 1, "no column nothing"),
        ("i = 5 AND\n nothing = 5", 2, "no column nothing"),
        ("i = t", 5, "another"),
        ("1 = 1", 1, "column on one side"),
        ("i", 1, "INT"),
        ("i < 'abc'", 5, "no number"),
        ("s < 5", 5, "quotes"),
        ("j = 5", 5, "IS NULL"),
        ("i LIKE '5%'", 8, "CHAR and VARCHAR"),
        ("length(s) = 5", 1, "functions"),
        ("x.i = 5", 2, "without their table"),
        ("s = 'open", 5, "never closed"),
        ("i = 5; DROP", 6, "`;`"),
        ("s REGEXP 'a'", 3, "REGEXP"),
        ("i NOT 5", 7, "IN, BETWEEN or LIKE"),
        ("i IN ()", 7, "a value"),
        ("i = 1abc", 5, "no number"),
        ("bin = x'0'", 7, "hex"),
        ("i + 1 = 2", 3, "`+`"),
        ("i = --5", 8, "the end"),
        ("(i = 5", 7, "`)`"),
        ("i ? 5", 3, "'?'"),
        ("day = TRUE", 7, "date"),
    ] {
        let error = filter(text).expect_err(text);
        assert!(error.reason.contains(about), "{text}: {error}");
        assert_eq!(error.column, column, "{text}: {error}");
    }
    let deep = |open: &str, close: &str, depth: usize| format!("{}b{}", open.repeat(depth), close.repeat(depth));
    for (open, close) in [("(", ")"), ("NOT ", ""), ("!", ""), ("NOT (", ")")] {
        assert!(filter(&deep(open, close, 32)).is_ok());
        assert!(filter(&deep(open, close, 100_000)).unwrap_err().reason.contains("levels"), "{open}");
    }
    // Many conditions side by side are no nesting.
    assert!(filter(&vec!["i = 1"; 100_000].join(" OR ")).is_ok());
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[ibsd`'\"()=<>!.,0-9eExX%_\\\\ \n-]{0,40}") {
        let _ = filter(&text);
    }

    #[test]
    fn no_words_make_it_panic(words in prop::collection::vec(prop::sample::select(vec![
        "i", "b", "s", "day", "NOT", "AND", "OR", "IN", "BETWEEN", "LIKE", "IS", "NULL", "TRUE", "(", ")", ",", "=", "<=>", "-",
        "5", "1.5", "'a%'", "DATE", "'2024-01-01'", "x", "!",
    ]), 0..12)) {
        let _ = filter(&words.join(" "));
    }

    /// Exact comparison of decimals with whole numbers, against the same in 128 bits.
    #[test]
    fn decimals_compare_exactly(value in -40_000i64..40_000, cents in -4_000_000i64..4_000_000, op in 0usize..6) {
        let (sign, op) = ([("=", Op::Eq), ("!=", Op::Ne), ("<", Op::Lt), ("<=", Op::Le), (">", Op::Gt), (">=", Op::Ge)])[op];
        let digits = format!("{}{}.{:02}", if cents < 0 { "-" } else { "" }, cents.abs() / 100, cents.abs() % 100);
        let holds = |op: Op, a: i64, b: i64| match op {
            Op::Eq => a == b,
            Op::Ne => a != b,
            Op::Lt => a < b,
            Op::Le => a <= b,
            Op::Gt => a > b,
            Op::Ge => a >= b,
        };
        let ours = match filter(&format!("i {sign} {digits}")).unwrap() {
            Filter::Compare { op, value: operand, .. } => {
                holds(op, value, String::from_utf8(operand).unwrap().parse().unwrap())
            }
            Filter::Or(_) => true,
            _ => false,
        };
        prop_assert_eq!(ours, holds(op, value * 100, cents));
    }
}
