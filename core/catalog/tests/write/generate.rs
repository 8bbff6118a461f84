//! Random catalogs: tables of every key model, partitioning, distribution and partition layout, with names that hurt, and the entries
//! that stand for them. Ids are handed out as an FE does, one counter for everything.

use proptest::prelude::*;
use proptest::sample::select;
use starsnap_catalog::model::*;
use starsnap_catalog::snapshot::*;
use std::collections::{BTreeMap, BTreeSet};

/// Which shape the partitions are stored in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Layout {
    P1,
    P2,
    P3,
}

/// How a table is partitioned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Partitioning {
    None,
    Range,
    Expression,
    List,
    MultiList,
}

/// What a table is made from. Names are distinct where they must be.
#[derive(Debug, Clone)]
pub struct Spec {
    pub name: String,
    pub layout: Layout,
    pub view: bool,
    pub materialized: bool,
    pub keys_type: &'static str,
    pub partitioning: Partitioning,
    pub columns: Vec<(String, Type, bool)>,
    pub rollups: BTreeSet<String>,
    /// Name, physical partitions, version; the first may be a shadow partition.
    pub partitions: BTreeMap<String, (usize, i64)>,
    pub shadow: bool,
    pub temporary: bool,
    pub random: bool,
    pub buckets: i32,
    pub auto_increment: Option<i64>,
    pub comment: Option<String>,
    pub properties: BTreeMap<String, String>,
    pub files: bool,
}

/// Names of tables, columns, partitions: ordinary, odd, and any.
pub fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z_][a-z0-9_]{0,10}",
        2 => select(vec!["Straße", "表", "emoji😀", "q'1", "q\"2", "b`3", "a/b", "..", ".x", "%41", "10023", " x ", "a\nb", "nul\0", "table.json", "v.sql"]).prop_map(String::from),
        // An empty name is no name.
        1 => any::<String>().prop_filter("empty", |name| !name.is_empty()),
        1 => "[üx/]{100,150}",
    ]
}

fn ty() -> impl Strategy<Value = Type> {
    let scalar = prop_oneof![
        select(vec![
            "BOOLEAN", "TINYINT", "INT", "BIGINT", "LARGEINT", "DOUBLE", "DATE", "DATETIME", "JSON", "HLL", "BITMAP"
        ])
        .prop_map(|name| scalar(name, None, None)),
        (1i64..65533).prop_map(|len| scalar("VARCHAR", Some(len), None)),
        (1i32..38, 0i32..10).prop_map(|(p, s)| scalar("DECIMAL128", None, Some((p, s)))),
    ];
    scalar.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|item| Type {
                clazz: "ArrayType".into(),
                item_type: Some(Box::new(item)),
                ..Type::default()
            }),
            (inner.clone(), inner.clone()).prop_map(|(key, value)| Type {
                clazz: "MapType".into(),
                key_type: Some(Box::new(key)),
                value_type: Some(Box::new(value)),
                ..Type::default()
            }),
            prop::collection::vec((name(), inner), 1..3).prop_map(|fields| Type {
                clazz: "StructType".into(),
                fields: Some(
                    fields.into_iter().map(|(name, ty)| StructField { name, ty, ..StructField::default() }).collect()
                ),
                named: Some(true),
                ..Type::default()
            }),
        ]
    })
}

pub fn scalar(name: &str, len: Option<i64>, decimal: Option<(i32, i32)>) -> Type {
    Type {
        clazz: "ScalarType".into(),
        primitive: Some(name.into()),
        len: Some(len.unwrap_or(-1)),
        precision: Some(decimal.map_or(0, |(p, _)| p)),
        scale: Some(decimal.map_or(0, |(_, s)| s)),
        ..Type::default()
    }
}

prop_compose! {
    pub fn spec()(
        (name, layout, view, materialized) in (name(), select(vec![Layout::P1, Layout::P2, Layout::P3]), prop::bool::weighted(0.1), prop::bool::weighted(0.2)),
        keys_type in select(vec!["DUP_KEYS", "AGG_KEYS", "UNIQUE_KEYS", "PRIMARY_KEYS"]),
        partitioning in select(vec![Partitioning::None, Partitioning::Range, Partitioning::Expression, Partitioning::List, Partitioning::MultiList]),
        columns in prop::collection::vec((name(), ty(), any::<bool>()), 1..6),
        rollups in prop::collection::btree_set(name(), 0..3),
        partitions in prop::collection::btree_map(name(), (prop_oneof![3 => Just(1usize), 1 => 1..4usize], 1i64..1000), 1..6),
        (shadow, temporary, random, files) in any::<(bool, bool, bool, bool)>(),
        buckets in 1i32..5,
        (auto_increment, comment) in (prop::option::of(1i64..9), prop::option::of(any::<String>())),
        properties in prop::collection::btree_map("[a-z.]{1,9}", any::<String>(), 0..3),
    ) -> Spec {
        Spec { name, layout, view, materialized, keys_type, partitioning, columns, rollups, partitions, shadow, temporary, random, buckets, auto_increment, comment, properties, files }
    }
}

/// Hands out ids.
pub struct Ids(pub i64);

impl Ids {
    pub fn next(&mut self) -> i64 {
        self.0 += 1;
        self.0
    }
}

/// The catalog object and the entry that stands for it.
pub fn table(spec: &Spec, ids: &mut Ids) -> (Table, TableEntry) {
    if spec.view { view(spec, ids) } else { Maker::new(spec, ids).make() }
}

fn view(spec: &Spec, ids: &mut Ids) -> (Table, TableEntry) {
    let table = Table {
        clazz: "View".into(),
        id: ids.next(),
        name: spec.name.clone(),
        kind: "VIEW".into(),
        create_time: Some(1_700_000_000),
        full_schema: Some(schema(spec)),
        comment: spec.comment.clone(),
        inline_view_def: Some("SELECT 1".into()),
        ..Table::default()
    };
    let entry = entry_of(&table, TableKind::View, None, vec![]);
    (table, entry)
}

fn entry_of(
    table: &Table,
    kind: TableKind,
    auto_increment_id: Option<i64>,
    partitions: Vec<PartitionEntry>,
) -> TableEntry {
    let catalog = Some(CatalogText::of(table).unwrap());
    TableEntry { id: table.id, name: table.name.clone(), kind, catalog, auto_increment_id, partitions }
}

fn schema(spec: &Spec) -> Vec<Column> {
    let key = Column {
        name: "k".into(),
        column_id: Some("k".into()),
        ty: scalar("INT", None, None),
        unique_id: Some(0),
        is_key: true,
        is_auto_increment: Some(false),
        comment: Some(String::new()),
        ..Column::default()
    };
    let value = |(at, (name, ty, nullable)): (usize, &(String, Type, bool))| Column {
        name: format!("{name}{at}"),
        column_id: Some(format!("{name}_{at}")),
        ty: ty.clone(),
        unique_id: Some(at as i32 + 1),
        aggregation_type: Some("NONE".into()),
        is_aggregation_type_implicit: true,
        is_allow_null: *nullable,
        default_value: nullable.then(|| "d'".into()),
        is_auto_increment: Some(false),
        comment: Some("c".into()),
        ..Column::default()
    };
    std::iter::once(key).chain(spec.columns.iter().enumerate().map(value)).collect()
}

/// The bytes of the range `[from, to)` of one INT column.
pub fn int_range(from: i64, to: i64) -> Vec<i8> {
    let mut bytes = Vec::new();
    for (closed, bound) in [(1u8, from), (0, to)] {
        bytes.extend([1, closed]);
        bytes.extend(1i32.to_be_bytes());
        bytes.extend(3i32.to_be_bytes());
        bytes.extend(b"INT\0");
        bytes.extend(bound.to_be_bytes());
    }
    bytes.into_iter().map(|byte| byte as i8).collect()
}

struct Maker<'a> {
    spec: &'a Spec,
    ids: &'a mut Ids,
    /// Base first, then rollups by name; with meta ids.
    indexes: Vec<(String, i64)>,
    info: PartitionInfo,
    distribution: DistributionInfo,
    entries: Vec<PartitionEntry>,
}

impl<'a> Maker<'a> {
    fn new(spec: &'a Spec, ids: &'a mut Ids) -> Maker<'a> {
        let mut indexes = vec![(spec.name.clone(), ids.next())];
        let rollups = spec.rollups.iter().filter(|name| **name != spec.name);
        indexes.extend(rollups.map(|name| (name.clone(), ids.next())));
        let key = schema(spec).swap_remove(0);
        let (clazz, kind) = match spec.partitioning {
            Partitioning::None => ("SinglePartitionInfo", "UNPARTITIONED"),
            Partitioning::Range => ("RangePartitionInfo", "RANGE"),
            Partitioning::Expression => ("ExpressionRangePartitionInfo", "EXPR_RANGE"),
            Partitioning::List | Partitioning::MultiList => ("ListPartitionInfo", "LIST"),
        };
        let partitioned = spec.partitioning != Partitioning::None;
        let info = PartitionInfo {
            clazz: clazz.into(),
            kind: kind.into(),
            id_to_data_property: Some(BTreeMap::new()),
            id_to_replication_num: Some(BTreeMap::new()),
            is_multi_column_partition: Some(false),
            id_to_in_memory: Some(BTreeMap::new()),
            partition_columns: partitioned.then(|| vec![key.clone()]),
            col_ids: partitioned.then(|| vec![key.id().to_owned()]),
            ..PartitionInfo::default()
        };
        let distribution = if spec.random {
            DistributionInfo {
                clazz: "RandomDistributionInfo".into(),
                kind: "RANDOM".into(),
                b: Some(0),
                ..DistributionInfo::default()
            }
        } else {
            DistributionInfo {
                clazz: "HashDistributionInfo".into(),
                kind: "HASH".into(),
                type_str: Some("HASH".into()),
                col_ids: Some(vec![key.id().to_owned()]),
                distribution_columns: Some(vec![key]),
                bucket_num: Some(spec.buckets),
                ..DistributionInfo::default()
            }
        };
        Maker { spec, ids, indexes, info, distribution, entries: Vec::new() }
    }

    fn make(mut self) -> (Table, TableEntry) {
        let spec = self.spec;
        let mut normal = BTreeMap::new();
        if spec.partitioning == Partitioning::None {
            let (physicals, version) = *spec.partitions.values().next().unwrap();
            self.partition(&mut normal, &spec.name, PartitionKind::Normal, physicals, version);
        } else {
            if spec.shadow {
                self.partition(&mut normal, "$shadow_automatic_partition", PartitionKind::Shadow, 1, 1);
            }
            for (name, (physicals, version)) in &spec.partitions {
                self.partition(&mut normal, name, PartitionKind::Normal, *physicals, *version);
            }
        }
        let mut temporary = BTreeMap::new();
        if spec.temporary && spec.partitioning != Partitioning::None {
            let name = spec.partitions.keys().next().unwrap();
            self.partition(&mut temporary, name, PartitionKind::Temporary, 1, 3);
        }
        let schema = schema(spec);
        let meta = |(_, id): &(String, i64)| {
            let meta = IndexMeta {
                index_id: *id,
                schema: schema.clone(),
                schema_version: Some(0),
                schema_hash: 77,
                schema_id: Some(*id),
                short_key_column_count: 1,
                storage_type: Some("COLUMN".into()),
                keys_type: Some(spec.keys_type.into()),
                ..IndexMeta::default()
            };
            (*id, meta)
        };
        let (clazz, kind, entry_kind) = match spec.materialized {
            true => ("MaterializedView", "MATERIALIZED_VIEW", TableKind::MaterializedView),
            false => ("OlapTable", "OLAP", TableKind::Table),
        };
        let mut properties = spec.properties.clone();
        properties.insert("replication_num".into(), "1".into());
        let table = Table {
            clazz: clazz.into(),
            id: self.ids.next(),
            name: spec.name.clone(),
            kind: kind.into(),
            create_time: Some(1_700_000_000),
            full_schema: Some(schema.clone()),
            comment: Some(spec.comment.clone().unwrap_or_default()),
            state: Some("NORMAL".into()),
            index_id_to_meta: self.indexes.iter().map(meta).collect(),
            index_name_to_id: self.indexes.iter().cloned().collect(),
            base_index_id: Some(self.indexes[0].1),
            keys_type: Some(spec.keys_type.into()),
            partition_info: Some(self.info),
            default_distribution_info: Some(self.distribution),
            id_to_partition: normal,
            temp_partitions: Some(TempPartitions { id_to_partition: temporary, ..TempPartitions::default() }),
            bf_columns: Some(vec!["k".into()]),
            bf_fpp: Some(0.05),
            table_property: Some(TableProperty { properties, ..TableProperty::default() }),
            max_col_unique_id: Some(schema.len() as i32 - 1),
            ..Table::default()
        };
        let entry = entry_of(&table, entry_kind, spec.auto_increment, in_order(self.entries));
        (table, entry)
    }

    fn partition(
        &mut self,
        into: &mut BTreeMap<i64, Partition>,
        name: &str,
        kind: PartitionKind,
        physicals: usize,
        version: i64,
    ) {
        let id = self.ids.next();
        self.properties(id, kind);
        let mut partition = Partition {
            id,
            name: name.into(),
            state: Some("NORMAL".into()),
            distribution_info: Some(self.distribution.clone()),
            visible_version_time: 1_700_000_000_123,
            ..Partition::default()
        };
        let default = if self.spec.layout == Layout::P1 { id } else { self.ids.next() };
        let mut entries = Vec::new();
        let mut subs = BTreeMap::new();
        for number in 0..physicals {
            let (id, version) = if number == 0 { (default, version) } else { (self.ids.next(), 1 + number as i64) };
            let (physical, entry) = self.physical(partition.id, id, version);
            entries.push(entry);
            subs.insert(id, physical);
        }
        entries[1..].sort_by_key(|entry| entry.id);
        if self.spec.layout == Layout::P1 {
            let first = subs.remove(&default).unwrap();
            partition.base_index = first.base_index;
            partition.id_to_visible_rollup_index = first.id_to_visible_rollup_index;
            partition.visible_version = version;
            partition.next_version = version + 1;
        } else {
            partition.dpid = Some(default);
        }
        partition.id_to_sub_partition = (!subs.is_empty()).then_some(subs);
        self.entries.push(PartitionEntry { id, name: name.into(), kind, version, physicals: entries });
        into.insert(id, partition);
    }

    /// What the partition information holds of a partition.
    fn properties(&mut self, id: i64, kind: PartitionKind) {
        let info = &mut self.info;
        info.id_to_data_property.get_or_insert_default().insert(
            id,
            DataProperty {
                storage_medium: Some("SSD".into()),
                cooldown_time_ms: Some(253_402_271_999_000),
                ..DataProperty::default()
            },
        );
        info.id_to_replication_num.get_or_insert_default().insert(id, 1);
        info.id_to_in_memory.get_or_insert_default().insert(id, false);
        let temporary = kind == PartitionKind::Temporary;
        match self.spec.partitioning {
            Partitioning::None => {}
            Partitioning::Range | Partitioning::Expression => {
                let ranges =
                    if temporary { &mut info.serialized_id_to_temp_range } else { &mut info.serialized_id_to_range };
                ranges.get_or_insert_default().insert(id, int_range(id * 10, id * 10 + 10));
            }
            Partitioning::List => {
                let values = if kind == PartitionKind::Shadow { vec![] } else { vec![id.to_string()] };
                info.id_to_values.get_or_insert_default().insert(id, values);
                info.id_to_temp.get_or_insert_default().insert(id, temporary);
            }
            Partitioning::MultiList => {
                let values =
                    if kind == PartitionKind::Shadow { vec![] } else { vec![vec![id.to_string(), "x'y".into()]] };
                info.id_to_multi_values.get_or_insert_default().insert(id, values);
                info.id_to_temp.get_or_insert_default().insert(id, temporary);
            }
        }
    }

    fn physical(&mut self, parent: i64, id: i64, version: i64) -> (PhysicalPartition, PhysicalEntry) {
        let mut physical = PhysicalPartition {
            id,
            parent_id: Some(parent),
            visible_version: version,
            visible_version_time: 1_700_000_000_123,
            next_version: version + 1,
            data_version: Some(version),
            next_data_version: Some(version + 1),
            version_epoch: Some(9),
            version_txn_type: Some("TXN_NORMAL".into()),
            ..PhysicalPartition::default()
        };
        let mut visible = BTreeMap::new();
        let mut entries = Vec::new();
        for (at, (name, meta)) in self.indexes.clone().into_iter().enumerate() {
            // In P3 an index has an id of its own, which differs once tablets were re-sharded.
            let id = if self.spec.layout == Layout::P3 && version % 2 == 0 { self.ids.next() } else { meta };
            let tablets: Vec<i64> = (0..self.spec.buckets).map(|_| self.ids.next()).rev().collect();
            let stored = tablets.iter().map(|id| Tablet {
                clazz: "LocalTablet".into(),
                id: *id,
                replicas: Some(vec![]),
                ..Tablet::default()
            });
            let mut index = MaterializedIndex {
                id,
                state: Some("NORMAL".into()),
                tablets: stored.collect(),
                ..MaterializedIndex::default()
            };
            if self.spec.layout == Layout::P3 {
                index.meta_id = Some(meta);
                physical.index_meta_id_to_index_ids.get_or_insert_default().insert(meta, vec![id]);
            }
            match (at, self.spec.layout) {
                (0, Layout::P1 | Layout::P2) => physical.base_index = Some(index),
                (0, Layout::P3) => {
                    physical.base_index_meta_id = Some(meta);
                    visible.insert(id, index);
                }
                _ => drop(visible.insert(id, index)),
            }
            let listed = |id: &i64| {
                if self.spec.files { vec![format!("{id}.hdr.d41d8cd98f00b204e9800998ecf8427e")] } else { vec![] }
            };
            let tablets = tablets.iter().map(|id| TabletEntry { id: *id, listed_files: listed(id) }).collect();
            entries.push(IndexEntry { id, name, base: at == 0, schema_hash: 77, tablets });
        }
        physical.id_to_visible_rollup_index = Some(visible);
        (physical, PhysicalEntry { id, version, indexes: entries })
    }
}

/// The order of the joined catalog: by range (here the order of ids), by id for lists; temporary ones last, of which `__info` lists no
/// files.
fn in_order(mut entries: Vec<PartitionEntry>) -> Vec<PartitionEntry> {
    entries.sort_by_key(|entry| (entry.kind == PartitionKind::Temporary, entry.id));
    let temporary = entries.iter_mut().filter(|entry| entry.kind == PartitionKind::Temporary);
    let indexes = temporary.flat_map(|entry| &mut entry.physicals).flat_map(|physical| &mut physical.indexes);
    indexes.flat_map(|index| &mut index.tablets).for_each(|tablet| tablet.listed_files.clear());
    entries
}
