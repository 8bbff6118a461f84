//! Tablets of one table whose schemas are not the same.

use starsnap_tablet::proto::tablet::*;
use starsnap_tablet::render::TextFormat;
use starsnap_tablet::{TabletMeta, TabletSchema, UniqueIds};

use super::build::*;

const DUPLICATE: i32 = 0;

fn key() -> ColumnPb {
    ColumnPb { is_key: Some(true), ..column(0, "k", "INT") }
}

fn schema(columns: Vec<ColumnPb>) -> TabletSchema {
    TabletMeta::from_header(&header(DUPLICATE, columns, vec![rowset(2, 0)])).unwrap().schema
}

/// A row of a tablet with a segment that has these INT columns, by their unique ids, presented with another schema.
fn presented(columns: Vec<ColumnPb>, stored: &[(i32, i32)], newest: &TabletSchema, ids: UniqueIds) -> String {
    let mut segment = Segment::default();
    for &(id, value) in stored {
        let values = segment.plain(5, &[value.to_le_bytes()]);
        segment.add(id, values);
    }
    let mut meta = TabletMeta::from_header(&header(DUPLICATE, columns, vec![rowset(2, 1)])).unwrap();
    assert_eq!(meta.schema.contradiction(newest, ids), None);
    meta.present_with(newest, ids);
    let tablet = open(meta, vec![(segment_name(2, 0), segment.finish(1))]);
    let format = TextFormat::JsonLines;
    let rows = tablet.rows(None, &format.read_options()).unwrap();
    let text: Vec<u8> = rows.flat_map(|batch| format.lines(&batch.unwrap()).unwrap()).collect();
    String::from_utf8(text).unwrap().trim_end().to_owned()
}

/// Before 3.2 a backend numbers columns: after `DROP COLUMN a`, tablets of an older partition have b as 2, those of a newer one as 1.
#[test]
fn columns_are_numbered_by_each_tablet_where_the_catalog_does_not() {
    let older = || vec![key(), column(2, "b", "INT")];
    let newer = || vec![key(), column(1, "b", "INT")];
    // Of a linked schema change, the segments still have what was dropped.
    let stored = [(0, 1), (1, 666), (2, 20)];
    let row = presented(older(), &stored, &schema(newer()), UniqueIds::OfTablet);
    assert_eq!(row, r#"{"k":1,"b":20}"#);
    let row = presented(newer(), &[(0, 2), (1, 30)], &schema(older()), UniqueIds::OfTablet);
    assert_eq!(row, r#"{"k":2,"b":30}"#);
    // Ids of the table that differ in one version of its schema are not believed.
    assert!(schema(older()).contradiction(&schema(newer()), UniqueIds::OfTable).is_some());
    // A column that is not there is no column of NULLs.
    let wider = schema(vec![key(), column(2, "b", "INT"), column(3, "c", "INT")]);
    let mut old = schema(older());
    old.version = wider.version - 1;
    assert_eq!(old.contradiction(&wider, UniqueIds::OfTable), None);
    assert!(old.contradiction(&wider, UniqueIds::OfTablet).is_some_and(|reason| reason.contains("column c")));
}

/// `DEFAULT CURRENT_TIMESTAMP`: the tablets that are altered get the time, those that are made later get none.
#[test]
fn a_tablet_keeps_its_own_values_for_rows_that_are_older_than_a_column() {
    let altered = ColumnPb { default_value: Some(b"7".to_vec()), ..column(1, "c", "INT") };
    let made_later = schema(vec![key(), column(1, "c", "INT")]);
    for ids in [UniqueIds::OfTable, UniqueIds::OfTablet] {
        let row = presented(vec![key(), altered.clone()], &[(0, 1)], &made_later, ids);
        assert_eq!(row, r#"{"k":1,"c":7}"#, "{ids:?}");
    }
    // And where the newest schema has another one.
    let other = schema(vec![key(), ColumnPb { default_value: Some(b"8".to_vec()), ..column(1, "c", "INT") }]);
    assert_eq!(presented(vec![key(), altered], &[(0, 1)], &other, UniqueIds::OfTable), r#"{"k":1,"c":7}"#);
}
