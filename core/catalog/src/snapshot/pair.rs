//! Which object of `__info` is which of `__meta`: the one with the same id, else the one with the same name.

use std::collections::HashMap;

/// An object of one side.
#[derive(Clone, Copy)]
pub(super) struct Item<'a, T> {
    pub(super) id: i64,
    /// Empty where such objects have no names, which then match nothing.
    pub(super) name: &'a str,
    pub(super) object: T,
}

/// An object of `__info` and what it is in `__meta`; one of them may lack.
pub(super) type Pair<'a, I, M> = (Option<Item<'a, I>>, Option<Item<'a, M>>);

/// Pairs both sides. Those of `__meta` come first, in their order; then what only `__info` has.
pub(super) fn pair<'a, I: Copy, M: Copy>(infos: Vec<Item<'a, I>>, metas: Vec<Item<'a, M>>) -> Vec<Pair<'a, I, M>> {
    let mut free: Vec<Option<Item<I>>> = infos.into_iter().map(Some).collect();
    let mut partners: Vec<Option<Item<I>>> = metas.iter().map(|_| None).collect();
    // Ids first; a name decides where several share an id, and where no id fits.
    assign(&mut free, &metas, &mut partners, |id, name| (Some(id), Some(name)));
    assign(&mut free, &metas, &mut partners, |id, _| (Some(id), None));
    assign(&mut free, &metas, &mut partners, |_, name| (None, Some(name)));
    let paired = partners.into_iter().zip(metas).map(|(info, meta)| (info, Some(meta)));
    paired.chain(free.into_iter().flatten().map(|info| (Some(info), None))).collect()
}

type Key<'a> = (Option<i64>, Option<&'a str>);

fn assign<'a, I: Copy, M: Copy>(
    free: &mut [Option<Item<'a, I>>],
    metas: &[Item<'a, M>],
    partners: &mut [Option<Item<'a, I>>],
    key: impl Fn(i64, &'a str) -> Key<'a>,
) {
    let mut by_key: HashMap<Key, Vec<usize>> = HashMap::new();
    // The first of several of one key is to be the last in its list, to be taken first.
    for (at, info) in free.iter().enumerate().rev() {
        let Some(info) = info else { continue };
        let key = key(info.id, info.name);
        if key.0.is_some() || !info.name.is_empty() {
            by_key.entry(key).or_default().push(at);
        }
    }
    if by_key.is_empty() {
        return;
    }
    for (meta, partner) in metas.iter().zip(partners) {
        if partner.is_none() {
            let at = by_key.get_mut(&key(meta.id, meta.name)).and_then(Vec::pop);
            *partner = at.and_then(|at| free.get_mut(at)).and_then(Option::take);
        }
    }
}
