//! The logical key hierarchy: the tree that a key server keeps, and the path that a group member holds.
//!
//! The tree is binary with a fixed number of levels; node 1 is the root, the children of node n are 2n and 2n + 1, and
//! the node number is the LKH ID. Only nodes on the path of a member exist. The root key is the group KEK. Where the
//! RFC is silent: a wrapped key is encrypted with CBC under the IV that precedes the wrapping key, zero-padded to the
//! block; an update array whose wrapper is not held in that version is skipped.

use std::collections::BTreeMap;

use hallmark_core::{Code, Rng, UnixTime};
use hallmark_crypto::gdoi::{kek_key_len, lkh_unwrap, lkh_wrap, lkh_wrapped_len};
use hallmark_crypto::{CipherAlg, Secret};
use hallmark_wire::gdoi::{LKH_VERSION, LkhDownload, LkhKey, LkhUpdate};

use crate::code;

/// The node number of the root.
pub const ROOT: u16 = 1;

/// Is the key of one node in one version.
#[derive(Clone)]
struct NodeKey {
    handle: u32,
    iv_and_key: Secret,
}

struct Node {
    key: NodeKey,
    /// Members below; a node without any is removed.
    members: u32,
}

/// Is the tree of a key server.
pub(crate) struct Tree {
    cipher: CipherAlg,
    depth: u32,
    nodes: BTreeMap<u16, Node>,
    /// Next version per node: a handle is never used twice for one LKH ID, even if the node was gone in between.
    handles: BTreeMap<u16, u32>,
    next_leaf: u16,
    free: Vec<u16>,
    same_handles: bool,
}

impl Tree {
    /// Makes a tree for so many members (at most 32768) around the current KEK.
    pub(crate) fn new(cipher: CipherAlg, members: usize, root: Secret, same_handles: bool) -> Self {
        let mut depth = 1;
        while depth < 15 && (1_usize << depth) < members {
            depth += 1;
        }
        let mut tree = Self {
            cipher,
            depth,
            nodes: BTreeMap::new(),
            handles: BTreeMap::new(),
            next_leaf: 1 << depth,
            free: Vec::new(),
            same_handles,
        };
        let handle = tree.next_handle(ROOT);
        tree.nodes.insert(ROOT, Node { key: NodeKey { handle, iv_and_key: root }, members: 0 });
        tree
    }

    /// Puts a member into a free leaf and gives the leaf; `None` when the tree is full.
    // REQ GDOI-LKH-002
    pub(crate) fn insert(&mut self, rng: &mut Rng) -> Option<u16> {
        let leaf = match self.free.pop() {
            Some(leaf) => leaf,
            None => {
                let leaf = self.next_leaf;
                if leaf < 1 << self.depth || u32::from(leaf) >= 2 << self.depth {
                    return None;
                }
                self.next_leaf = leaf.checked_add(1).unwrap_or(0);
                leaf
            }
        };
        for id in path(leaf) {
            if !self.nodes.contains_key(&id) {
                let key = self.fresh_key(id, rng);
                self.nodes.insert(id, Node { key, members: 0 });
            }
            if let Some(node) = self.nodes.get_mut(&id) {
                node.members += 1;
            }
        }
        Some(leaf)
    }

    /// Takes a member out and renews every key that it knows; the root becomes `root`. Gives the arrays from which
    /// every other member learns the new keys, and the removed one nothing.
    // REQ GDOI-LKH-017
    pub(crate) fn remove(&mut self, leaf: u16, root: Secret, rng: &mut Rng) -> Vec<LkhUpdate> {
        for id in path(leaf) {
            if let Some(node) = self.nodes.get_mut(&id) {
                node.members = node.members.saturating_sub(1);
                if node.members == 0 && id != ROOT {
                    self.nodes.remove(&id);
                }
            }
        }
        self.free.push(leaf);
        for id in path(leaf).skip(1) {
            if self.nodes.contains_key(&id) && id != ROOT {
                let key = self.fresh_key(id, rng);
                if let Some(node) = self.nodes.get_mut(&id) {
                    node.key = key;
                }
            }
        }
        self.set_root(root);
        // One array per sibling of the path that still has members, starting at the key that its subtree holds.
        path(leaf)
            .filter(|id| *id != ROOT)
            .filter_map(|id| {
                let sibling = id ^ 1;
                let wrapper = &self.nodes.get(&sibling)?.key;
                self.update(sibling, wrapper, sibling >> 1)
            })
            .collect()
    }

    /// Renews the root alone and gives the array that leads from the old root to the new one.
    pub(crate) fn renew_root(&mut self, root: Secret) -> Vec<LkhUpdate> {
        let Some(old) = self.nodes.get(&ROOT).map(|node| node.key.clone()) else { return Vec::new() };
        self.set_root(root);
        self.update(ROOT, &old, ROOT).into_iter().collect()
    }

    /// Gives the keys from a leaf to the root.
    // REQ GDOI-LKH-006
    pub(crate) fn download(&self, leaf: u16) -> LkhDownload {
        LkhDownload { keys: path(leaf).filter_map(|id| Some(self.lkh_key(id, &self.nodes.get(&id)?.key))).collect() }
    }

    /// Gives the key of a leaf without its IV, for acknowledgements.
    pub(crate) fn leaf_key(&self, leaf: u16) -> Option<&[u8]> {
        self.nodes.get(&leaf)?.key.iv_and_key.expose().get(self.cipher.block_len()..)
    }

    fn set_root(&mut self, root: Secret) {
        let handle = self.next_handle(ROOT);
        if let Some(node) = self.nodes.get_mut(&ROOT) {
            node.key = NodeKey { handle, iv_and_key: root };
        }
    }

    /// Wraps the keys from `first` upwards, the first one under `wrapper`.
    // REQ GDOI-LKH-014 GDOI-LKH-015
    fn update(&self, wrapper_id: u16, wrapper: &NodeKey, first: u16) -> Option<LkhUpdate> {
        let mut keys = Vec::new();
        let mut wrapping = wrapper;
        for id in path(first) {
            let key = &self.nodes.get(&id)?.key;
            let mut entry = self.lkh_key(id, key);
            entry.data = lkh_wrap(self.cipher, wrapping.iv_and_key.expose(), key.iv_and_key.expose()).ok()?;
            keys.push(entry);
            wrapping = key;
        }
        Some(LkhUpdate { wrapper_id, wrapper_handle: wrapper.handle, keys })
    }

    fn lkh_key(&self, id: u16, key: &NodeKey) -> LkhKey {
        LkhKey {
            id,
            // REQ GDOI-LKH-013
            key_type: u8::try_from(self.cipher.to_kek().0).unwrap_or(0),
            created: 0,
            expires: 0,
            handle: key.handle,
            data: key.iv_and_key.expose().to_vec(),
        }
    }

    fn fresh_key(&mut self, id: u16, rng: &mut Rng) -> NodeKey {
        NodeKey { handle: self.next_handle(id), iv_and_key: Secret::new(rng.vec(kek_key_len(self.cipher))) }
    }

    // REQ GDOI-LKH-012
    fn next_handle(&mut self, id: u16) -> u32 {
        let handle = self.handles.entry(id).or_insert(0);
        if !self.same_handles || *handle == 0 {
            *handle = handle.wrapping_add(1).max(1);
        }
        *handle
    }
}

/// Gives the nodes from a node up to the root.
fn path(from: u16) -> impl Iterator<Item = u16> {
    std::iter::successors(Some(from), |id| (*id > ROOT).then_some(id >> 1))
}

/// Is the path of a group member: the node keys that it holds, its leaf first.
#[derive(Clone)]
pub(crate) struct Path {
    cipher: CipherAlg,
    keys: Vec<PathKey>,
}

#[derive(Clone)]
struct PathKey {
    id: u16,
    expires: u32,
    key: NodeKey,
}

/// Says how a member uses update arrays; the defaults are right.
#[derive(Clone, Copy, Default)]
pub(crate) struct UpdateRules {
    /// Gives up at the first array that does not fit.
    pub(crate) first_array_only: bool,
    /// Does not store the new keys of inner nodes.
    pub(crate) forget_inner_keys: bool,
    /// Reads arrays of any version.
    pub(crate) any_version: bool,
    /// Takes keys of any type.
    pub(crate) any_key_type: bool,
    /// Unwraps with keys that have expired.
    pub(crate) any_age: bool,
    /// Does not compare handles.
    pub(crate) any_handle: bool,
}

impl Path {
    /// Takes a download array.
    pub(crate) fn from_download(value: &[u8], cipher: CipherAlg) -> Result<Self, Code> {
        let array = LkhDownload::decode(value, kek_key_len(cipher)).map_err(|error| error.code)?;
        let keys: Vec<_> = array.keys.into_iter().map(|key| path_key(key, cipher, false)).collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err(code::KD_LKH);
        }
        Ok(Self { cipher, keys })
    }

    /// Gives the IV and key of the group KEK.
    // REQ GDOI-LKH-018
    pub(crate) fn kek(&self) -> Option<&Secret> {
        self.keys.last().map(|key| &key.key.iv_and_key)
    }

    /// Gives the IV and key of the leaf.
    pub(crate) fn leaf(&self) -> Option<&Secret> {
        self.keys.first().map(|key| &key.key.iv_and_key)
    }

    /// Gives the leaf key without its IV.
    // REQ GDOI-ACK-020
    pub(crate) fn leaf_key(&self) -> Option<&[u8]> {
        self.keys.first()?.key.iv_and_key.expose().get(self.cipher.block_len()..)
    }

    pub(crate) const fn len(&self) -> usize {
        self.keys.len()
    }

    /// Applies update arrays. The first one whose wrapper is held in the named version gives the new path; `None` means
    /// that this member was excluded.
    // REQ GDOI-LKH-019 GDOI-LKH-022
    pub(crate) fn update(&self, values: &[&[u8]], wall: UnixTime, rules: UpdateRules) -> Result<Option<Self>, Code> {
        for value in values {
            let mut value = value.to_vec();
            if let Some(version) = value.first_mut().filter(|_| rules.any_version) {
                *version = LKH_VERSION;
            }
            let array = LkhUpdate::decode(&value, lkh_wrapped_len(self.cipher)).map_err(|error| error.code)?;
            if array.keys.is_empty() {
                return Err(code::KD_LKH);
            }
            let held = self.keys.iter().find(|key| {
                // REQ GDOI-LKH-011
                let alive = key.expires == 0 || i64::from(key.expires) > wall.as_secs() || rules.any_age;
                let same = key.key.handle == array.wrapper_handle || rules.any_handle;
                key.id == array.wrapper_id && same && alive
            });
            match held {
                Some(wrapper) => return self.climb(wrapper, array, rules).map(Some),
                None if rules.first_array_only => return Ok(None),
                None => {}
            }
        }
        Ok(None)
    }

    fn climb(&self, wrapper: &PathKey, array: LkhUpdate, rules: UpdateRules) -> Result<Self, Code> {
        let mut updated = self.clone();
        let mut wrapping = wrapper.key.iv_and_key.clone();
        let last = array.keys.len().saturating_sub(1);
        for (index, mut entry) in array.keys.into_iter().enumerate() {
            entry.data = lkh_unwrap(self.cipher, wrapping.expose(), &entry.data).map_err(|_| code::KD_LKH)?;
            let key = path_key(entry, self.cipher, rules.any_key_type)?;
            wrapping = key.key.iv_and_key.clone();
            if rules.forget_inner_keys && index != last {
                continue;
            }
            match updated.keys.iter_mut().find(|held| held.id == key.id) {
                Some(held) => *held = key,
                // The chain must stay on the path of this member.
                None => return Err(code::KD_LKH),
            }
        }
        // REQ GDOI-LKH-015: the chain ends at the group KEK.
        let changed_root = updated.keys.last().map(|key| key.key.handle) != self.keys.last().map(|key| key.key.handle);
        if changed_root { Ok(updated) } else { Err(code::KD_LKH) }
    }
}

fn path_key(key: LkhKey, cipher: CipherAlg, any_type: bool) -> Result<PathKey, Code> {
    // REQ GDOI-LKH-013
    if u16::from(key.key_type) != cipher.to_kek().0 && !any_type {
        return Err(code::KD_LKH);
    }
    let node = NodeKey { handle: key.handle, iv_and_key: Secret::new(key.data) };
    Ok(PathKey { id: key.id, expires: key.expires, key: node })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CIPHER: CipherAlg = CipherAlg::Aes192;
    const NOW: UnixTime = UnixTime(0);

    fn secret(octet: u8) -> Secret {
        Secret::new(vec![octet; kek_key_len(CIPHER)])
    }

    fn join(tree: &mut Tree, rng: &mut Rng) -> (u16, Path) {
        let leaf = tree.insert(rng).unwrap();
        (leaf, Path::from_download(&tree.download(leaf).encode(), CIPHER).unwrap())
    }

    fn apply(path: &Path, arrays: &[LkhUpdate]) -> Option<Path> {
        let values: Vec<_> = arrays.iter().map(LkhUpdate::encode).collect();
        let values: Vec<_> = values.iter().map(Vec::as_slice).collect();
        path.update(&values, NOW, UpdateRules::default()).unwrap()
    }

    #[test]
    fn removal_gives_the_new_kek_to_everyone_but_the_removed() {
        let mut rng = Rng::from_u64(3);
        let mut tree = Tree::new(CIPHER, 16, secret(1), false);
        let mut members: Vec<_> = (0..9).map(|_| join(&mut tree, &mut rng)).collect();
        let mut removed = Vec::new();
        for round in 0..4_u8 {
            let (leaf, path) = members.remove(usize::from(round));
            removed.push(path);
            let arrays = tree.remove(leaf, secret(100 + round), &mut rng);
            for (_, path) in &mut members {
                let updated = apply(path, &arrays).expect("a remaining member finds its array");
                assert_eq!(updated.kek(), Some(&secret(100 + round)));
                *path = updated;
            }
            for path in &removed {
                assert!(apply(path, &arrays).is_none(), "a removed member finds an array");
            }
        }
    }

    #[test]
    fn a_plain_renewal_is_one_array_under_the_old_root() {
        let mut rng = Rng::from_u64(4);
        let mut tree = Tree::new(CIPHER, 4, secret(1), false);
        let (_, path) = join(&mut tree, &mut rng);
        let arrays = tree.renew_root(secret(2));
        assert_eq!(arrays.len(), 1);
        assert_eq!(apply(&path, &arrays).unwrap().kek(), Some(&secret(2)));
    }

    #[test]
    fn a_full_tree_refuses_and_a_freed_leaf_gets_new_keys() {
        let mut rng = Rng::from_u64(5);
        let mut tree = Tree::new(CIPHER, 2, secret(1), false);
        let (first, path) = join(&mut tree, &mut rng);
        join(&mut tree, &mut rng);
        assert!(tree.insert(&mut rng).is_none());
        tree.remove(first, secret(2), &mut rng);
        let (again, other) = join(&mut tree, &mut rng);
        assert_eq!(first, again);
        assert_ne!(path.leaf_key(), other.leaf_key());
        assert_eq!(other.len(), 2);
    }

    #[test]
    fn the_published_update_array_unwraps() {
        let download = "0100030000040300000000000000000000000001c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c1c1c1c1c1c1c1c1c1c1c1c1c1c1\
                        c1c100020300000000000000000000000001d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1\
                        00010300000000000000000000000001e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1";
        let update = "0100020000040000000000010002030000000000000000000000000293fe66f79572f7b1ebb2472a88ec0ff5855a0b5036e3\
                      7fb7e665b6d13c3a04540001030000000000000000000000000286eb819ef86b62d2863473ba86dfc87dda64a2fbbb989d63\
                      0bbb61d470db6303";
        let path = Path::from_download(&hex::decode(download).unwrap(), CipherAlg::Aes128).unwrap();
        let update = hex::decode(update).unwrap();
        let updated = path.update(&[&update], NOW, UpdateRules::default()).unwrap().unwrap();
        assert_ne!(updated.kek(), path.kek());
        assert_eq!(updated.leaf_key(), path.leaf_key());
        assert_eq!(updated.len(), 3);
    }
}
