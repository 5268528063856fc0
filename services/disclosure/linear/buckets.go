package linear

// buckets hands out items in the order of a small positive size that changes. An item is put again at every change; what
// was put under a former size is dropped when it comes up.
type buckets struct {
	items [][]int // by size
	first int     // no smaller size has items
}

// put notes the size of an item. Size 0 takes it out.
func (b *buckets) put(item int, size int) {
	if size == 0 {
		return
	}
	for len(b.items) <= size {
		b.items = append(b.items, nil)
	}
	b.items[size] = append(b.items[size], item)
	b.first = min(b.first, size)
}

// least returns an item of the least size and leaves it in; size tells an item's present one. It returns 0, 0 where no
// item is left.
func (b *buckets) least(size func(item int) int) (item int, least int) {
	for ; b.first < len(b.items); b.first++ {
		bucket := b.items[b.first]
		for len(bucket) > 0 {
			item := bucket[len(bucket)-1]
			if b.first > 0 && size(item) == b.first {
				b.items[b.first] = bucket
				return item, b.first
			}
			bucket = bucket[:len(bucket)-1]
		}
		b.items[b.first] = bucket
	}
	return 0, 0
}
