//! The join below a partition: physical partitions, indexes, tablets.

use super::super::pair::{Item, pair};
use super::super::{IndexEntry, PhysicalEntry, TabletEntry};
use super::{Joiner, Place, TableContext, without_id};
use crate::error::Result;
use crate::info::{InfoIndex, InfoPartition};
use crate::model::{IndexView, Partition, PhysicalView};
use std::collections::{BTreeMap, HashSet};

/// What `__info` says of a physical partition: its version and indexes.
type InfoPhysical<'a> = (i64, &'a BTreeMap<String, InfoIndex>);

impl Joiner {
    pub(super) fn physicals(
        &mut self,
        table: &TableContext,
        place: &Place,
        info: Option<&InfoPartition>,
        meta: Option<&Partition>,
    ) -> Result<Vec<PhysicalEntry>> {
        let infos = info.map(info_physicals).unwrap_or_default();
        let views = meta.map(Partition::physicals).unwrap_or_default();
        if place.both && infos.is_empty() && !views.is_empty() {
            self.note(place, "`__info` lists no tablets for it");
        }
        let both = place.both && !infos.is_empty();
        // The only one need not be named.
        let named = infos.len() > 1 || views.len() > 1;
        let metas = views.iter().map(|view| Item { id: view.id, name: "", object: view }).collect();
        let default = meta.map(Partition::default_physical_id).or(info.map(|info| info.id));
        let mut entries = Vec::new();
        for (info, meta) in pair::<InfoPhysical, &PhysicalView>(infos, metas) {
            let id = info.map(|info| info.id).or(meta.map(|meta| meta.id)).unwrap_or_default();
            let alone = info.is_some() != meta.is_some();
            let place = Place { both, physical: (named || (both && alone)).then_some(id), ..*place };
            let place = Place { both: self.compare(&place, info.as_ref(), meta.as_ref()), ..place };
            let version = info.map(|info| info.object.0).or(meta.map(|meta| meta.object.version)).unwrap_or_default();
            if let Some(meta) = meta.filter(|meta| meta.object.version != version) {
                let other = meta.object.version;
                self.note(&place, format!("its version is {version} in `__info`, but {other} in `__meta`"));
            }
            let (info, meta) = (info.map(|info| info.object.1), meta.map(|meta| meta.object));
            entries.push(PhysicalEntry { id, version, indexes: self.indexes(table, &place, info, meta)? });
        }
        entries.sort_by_key(|entry| (Some(entry.id) != default, entry.id));
        Ok(entries)
    }

    fn indexes(
        &mut self,
        table: &TableContext,
        place: &Place,
        info: Option<&BTreeMap<String, InfoIndex>>,
        meta: Option<&PhysicalView>,
    ) -> Result<Vec<IndexEntry>> {
        let infos = info.iter().flat_map(|map| map.iter());
        let infos: Vec<_> = infos.map(|(name, object)| Item { id: object.id, name: name.as_str(), object }).collect();
        let only = infos.len() == 1;
        let name_of = |view: &IndexView| table.index_names.get(&view.meta_id).copied().unwrap_or_default();
        let metas = meta.iter().flat_map(|meta| meta.indexes.iter());
        let metas = metas.map(|view| Item { id: view.index.id, name: name_of(view), object: view }).collect();
        let mut entries = Vec::new();
        for (info, meta) in pair::<&InfoIndex, &IndexView>(infos, metas) {
            let id = info.map(|info| info.id).or(meta.map(|meta| meta.id)).unwrap_or_default();
            let nameless = meta.is_some_and(|meta| meta.name.is_empty());
            let name = if nameless { None } else { meta.map(|meta| meta.name) }.or(info.map(|info| info.name));
            let name = name.map_or_else(|| id.to_string(), str::to_owned);
            let place = Place { index: Some(&name), ..*place };
            if nameless {
                self.note(&place, "`__meta` has no name for it");
            } else {
                self.compare(&place, info.as_ref(), meta.as_ref());
            }
            let base = match meta {
                Some(meta) => meta.object.base,
                None => info.is_some_and(|info| only || without_id(info.name, info.id) == table.base_name),
            };
            let (info, meta) = (info.map(|info| info.object), meta.map(|meta| meta.object));
            let schema_hash = self.schema_hash(&place, table, info, meta);
            let tablets = self.tablets(&place, info, meta)?;
            entries.push(IndexEntry { id, base, schema_hash, tablets, name });
        }
        entries.sort_by(|a, b| b.base.cmp(&a.base).then_with(|| a.name.cmp(&b.name)));
        Ok(entries)
    }

    fn schema_hash(
        &mut self,
        place: &Place,
        table: &TableContext,
        info: Option<&InfoIndex>,
        meta: Option<&IndexView>,
    ) -> i64 {
        let schema = meta.and_then(|meta| table.meta?.index_id_to_meta.get(&meta.meta_id));
        match (info.map(|info| info.schema_hash), schema.map(|schema| schema.schema_hash)) {
            (Some(info), Some(meta)) if info != meta => {
                self.note(place, format!("its schema hash is {info} in `__info`, but {meta} in `__meta`"));
                info
            }
            (info, meta) => info.or(meta).unwrap_or_default(),
        }
    }

    fn tablets(
        &mut self,
        place: &Place,
        info: Option<&InfoIndex>,
        meta: Option<&IndexView>,
    ) -> Result<Vec<TabletEntry>> {
        let stored = meta.map(|meta| meta.index.tablets.as_slice()).unwrap_or_default();
        let Some(info) = info else {
            return Ok(stored.iter().map(|tablet| TabletEntry { id: tablet.id, listed_files: Vec::new() }).collect());
        };
        let order = self.bucket_order(place, info)?;
        if meta.is_some() && order.len() != stored.len() {
            let (here, there) = (order.len(), stored.len());
            self.note(place, format!("it has {here} tablets in `__info`, but {there} in `__meta`"));
        } else if meta.is_some() && !stored.iter().map(|tablet| tablet.id).eq(order.iter().copied()) {
            let known: HashSet<i64> = order.iter().copied().collect();
            let same = stored.iter().all(|tablet| known.contains(&tablet.id));
            let what = if same { "come in another order" } else { "are others" };
            self.note(place, format!("its tablets {what} in `__meta` than in `__info`"));
        }
        let files = |id: i64| info.tablets.get(&id.to_string()).cloned().unwrap_or_default();
        Ok(order.into_iter().map(|id| TabletEntry { id, listed_files: files(id) }).collect())
    }

    /// The order of `__info`, each tablet once; what the order leaves out follows.
    fn bucket_order(&mut self, place: &Place, info: &InfoIndex) -> Result<Vec<i64>> {
        let mut order = info.ordered_tablets()?;
        let mut known = HashSet::with_capacity(order.len());
        let listed = order.len();
        order.retain(|id| known.insert(*id));
        if order.len() != listed {
            self.note(place, "`__info` lists one of its tablets twice");
        }
        let mut left_out: Vec<i64> = Vec::new();
        for id in info.tablets.keys() {
            match id.parse() {
                Ok(id) if known.contains(&id) => {}
                Ok(id) => left_out.push(id),
                Err(_) => self.note(place, format!("`__info` lists a tablet {id:.40?}, which is no number")),
            }
        }
        if !left_out.is_empty() {
            left_out.sort_unstable();
            self.note(place, format!("`tablets_order` in `__info` leaves out {} of its tablets", left_out.len()));
            order.extend(left_out);
        }
        Ok(order)
    }
}

/// Physical partitions as `__info` lists them: `subPartitions` where there are any, and the partition itself where `indexes` has any.
fn info_physicals(partition: &InfoPartition) -> Vec<Item<'_, InfoPhysical<'_>>> {
    let subs = partition.sub_partitions.iter().flat_map(|map| map.values());
    let mut all: Vec<_> = subs.map(|sub| Item { id: sub.id, name: "", object: (sub.version, &sub.indexes) }).collect();
    if !partition.indexes.is_empty() && all.iter().all(|sub| sub.id != partition.id) {
        all.push(Item { id: partition.id, name: "", object: (partition.version, &partition.indexes) });
    }
    all
}
