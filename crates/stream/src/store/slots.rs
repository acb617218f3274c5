//! Records of bytes in pages that are cut into slots of one size each, without holes.
//!
//! A record is a key and its value, one after the other. It takes a slot of the smallest size that holds it. A size keeps
//! its slots dense: when one becomes free, the last record of that size moves into it. So freeing costs one more
//! record copied, never more, and nothing is ever left to be compacted.
//!
//! What is resident beside the records themselves: of a slot at most a sixteenth of the record (or what
//! it lacks to 32 bytes), one page that is not full for each size in use, and the list of pages. Records larger than the largest slot have a page each,
//! exactly as long as they are.

/// Bytes of a page. One page of each size in use is not full: small enough for that to be little, large enough for the
/// allocator to get them back whole.
const PAGE: usize = 64 * 1024;
/// The largest slots: so many in a page. Larger ones would not fill it well.
const FEWEST: usize = 16;
/// The smallest slots: so many in a page.
const MOST: usize = 2_048;
/// Bytes before each record that say how long key and value are.
const HEAD: usize = 4;
/// How many sizes there are.
const SIZES: usize = 90;

/// How many slots a page of each size has, the largest slots first; each size is about a sixteenth below the one before.
const SLOTS: [usize; SIZES] = {
    let (mut slots, mut at) = ([FEWEST; SIZES], 1);
    while at < SIZES {
        let more = slots[at - 1] + slots[at - 1] / FEWEST;
        slots[at] = if more < MOST { more } else { MOST };
        at += 1;
    }
    slots
};

/// Where a record stands, until another one is removed or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(Rust, packed(2))]
pub(super) struct Place {
    page: u32,
    slot: u16,
}

/// The records.
#[derive(Debug, Default)]
pub(super) struct Slots {
    pages: Vec<Page>,
    /// Numbers of pages that hold nothing.
    vacant: Vec<u32>,
    /// The pages of each size, in the order they were filled; only the last one has room.
    sizes: Vec<Vec<u32>>,
}

#[derive(Debug, Default)]
struct Page {
    bytes: Vec<u8>,
    /// Bytes of a slot; of a page with one record alone, all of them.
    slot: usize,
    /// Which of the sizes; `None` for a record alone.
    size: Option<u8>,
}

impl Slots {
    /// Key and value at a place.
    pub(super) fn record(&self, at: Place) -> (&[u8], &[u8]) {
        let (slot, [key, value]) = self.slot(at);
        (&slot[HEAD..HEAD + key], &slot[HEAD + key..HEAD + key + value])
    }

    /// The value at a place, if it is that of this key.
    pub(super) fn value(&self, at: Place, key: &[u8]) -> Option<&[u8]> {
        let (slot, [key_length, value_length]) = self.slot(at);
        // Where the value begins is known from the key that is looked for: the processor can fetch both at once.
        let (found, value) = slot[HEAD..].split_at_checked(key.len())?;
        (key_length == key.len() && found == key).then(|| &value[..value_length])
    }

    /// The bytes at a place, and how many of them are key and value.
    fn slot(&self, at: Place) -> (&[u8], [usize; 2]) {
        let page = &self.pages[index(at.page)];
        let from = usize::from(at.slot) * page.slot;
        let slot = &page.bytes[from..from + page.slot];
        let head = [slot[0], slot[1], slot[2], slot[3]];
        if page.size.is_some() {
            let [key, value] = [[head[0], head[1]], [head[2], head[3]]].map(u16::from_le_bytes);
            return (slot, [usize::from(key), usize::from(value)]);
        }
        let key = index(u32::from_le_bytes(head));
        (slot, [key, slot.len() - HEAD - key])
    }

    /// Adds a record.
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) -> Place {
        let length = length(key, value);
        let Some(size) = size_of(length) else { return self.add_alone(key, value, length) };
        let number = self.with_room(size);
        let page = &mut self.pages[index(number)];
        let from = page.bytes.len();
        if from + page.slot > page.bytes.capacity() {
            // Only the first page of a size begins small: there are stores with a handful of records.
            page.bytes.reserve_exact((2 * from).clamp(4 * page.slot, PAGE) - from);
        }
        append(&mut page.bytes, key, value, false);
        page.bytes.resize(from + page.slot, 0);
        Place { page: number, slot: short(from / page.slot) }
    }

    /// Gives the key of a record another value where it stands. False if it needs a slot of another size.
    pub(super) fn replace(&mut self, at: Place, key: &[u8], value: &[u8]) -> bool {
        let length = length(key, value);
        let page = &mut self.pages[index(at.page)];
        if size_of(length) != page.size.map(usize::from) {
            return false;
        }
        if page.size.is_none() {
            page.slot = length;
            page.bytes = Vec::with_capacity(length);
            append(&mut page.bytes, key, value, true);
            return true;
        }
        let from = usize::from(at.slot) * page.slot;
        let mut rest = &mut page.bytes[from..];
        for part in [&head(key, value, false), key, value] {
            let (into, after) = rest.split_at_mut(part.len());
            into.copy_from_slice(part);
            rest = after;
        }
        true
    }

    /// Removes a record. If another one moved into its place, says where that one stood.
    pub(super) fn remove(&mut self, at: Place) -> Option<Place> {
        let Some(size) = self.pages[index(at.page)].size.map(usize::from) else {
            self.vacate(at.page);
            return None;
        };
        let number = *self.sizes[size].last().expect("the record to be removed stands on a page of this size");
        let last = &mut self.pages[index(number)];
        let slot = last.slot;
        let from = last.bytes.len() - slot;
        let moved = Place { page: number, slot: short(from / slot) };
        let into = usize::from(at.slot) * slot;
        if number == at.page {
            last.bytes.copy_within(from.., into);
            last.bytes.truncate(from);
        } else {
            let mut bytes = std::mem::take(&mut last.bytes);
            self.pages[index(at.page)].bytes[into..into + slot].copy_from_slice(&bytes[from..]);
            bytes.truncate(from);
            self.pages[index(number)].bytes = bytes;
        }
        if from == 0 {
            self.sizes[size].pop();
            self.vacate(number);
        }
        (moved != at).then_some(moved)
    }

    /// Bytes taken from the allocator for records: pages, full or not.
    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        self.pages.iter().map(|page| page.bytes.capacity()).sum()
    }

    /// How many sizes are in use.
    #[cfg(test)]
    pub(super) fn sizes_in_use(&self) -> usize {
        self.sizes.iter().filter(|pages| !pages.is_empty()).count()
    }

    /// The page of a size that has room.
    fn with_room(&mut self, size: usize) -> u32 {
        if self.sizes.len() <= size {
            self.sizes.resize_with(size + 1, Vec::new);
        }
        let slot = PAGE / SLOTS[size];
        let first = match self.sizes[size].last() {
            Some(&last) if self.pages[index(last)].bytes.len() + slot <= PAGE => return last,
            Some(_) => false,
            None => true,
        };
        let bytes = if first { Vec::new() } else { Vec::with_capacity(PAGE) };
        let number = self.occupy(Page { bytes, slot, size: u8::try_from(size).ok() });
        self.sizes[size].push(number);
        number
    }

    fn add_alone(&mut self, key: &[u8], value: &[u8], length: usize) -> Place {
        let mut bytes = Vec::with_capacity(length);
        append(&mut bytes, key, value, true);
        Place { page: self.occupy(Page { bytes, slot: length, size: None }), slot: 0 }
    }

    fn occupy(&mut self, page: Page) -> u32 {
        if let Some(number) = self.vacant.pop() {
            self.pages[index(number)] = page;
            return number;
        }
        let number = u32::try_from(self.pages.len()).expect("four billion pages are more than there is memory for");
        self.pages.push(page);
        number
    }

    fn vacate(&mut self, number: u32) {
        self.pages[index(number)] = Page::default();
        self.vacant.push(number);
    }
}

/// Which size holds so many bytes; `None` if none does.
fn size_of(length: usize) -> Option<usize> {
    let slots = (PAGE / length).min(MOST);
    // The sizes are sorted: the last one with at most so many slots in a page.
    SLOTS.partition_point(|&of_size| of_size <= slots).checked_sub(1)
}

/// What stands before a record: the lengths of key and value; before a record alone, that of the key.
fn head(key: &[u8], value: &[u8], alone: bool) -> [u8; HEAD] {
    if alone {
        return u32::try_from(key.len()).expect("no key has four gigabytes").to_le_bytes();
    }
    let [key, value] = [key, value].map(|part| short(part.len()).to_le_bytes());
    [key[0], key[1], value[0], value[1]]
}

fn length(key: &[u8], value: &[u8]) -> usize {
    HEAD + key.len() + value.len()
}

fn append(bytes: &mut Vec<u8>, key: &[u8], value: &[u8], alone: bool) {
    bytes.extend_from_slice(&head(key, value, alone));
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(value);
}

fn index(number: u32) -> usize {
    usize::try_from(number).expect("at least 32 bits on every machine this runs on")
}

fn short(number: usize) -> u16 {
    u16::try_from(number).expect("a page has at most 2,048 slots, and a slot at most 4,096 bytes")
}
