package disclosure

import (
	"maps"
	"slices"
)

// trade protects v by points in which one leaf of the table counts more and another one less: the totals of the one alone
// rise, and those of the other alone fall. There nearly always are such points, however sparse the table is, but seldom
// are they the cheapest.
func (s *solver) trade(v int32) {
	for !s.wide(v) {
		f, ok := s.cheapestTrade(v, s.refused)
		if !ok {
			return
		}
		s.add(f)
	}
	for s.guard {
		suspects := s.confidants(v)
		if len(suspects) == 0 {
			return
		}
		if s.blend(suspects[0], v) {
			continue
		}
		f, ok := s.cheapestTrade(v, func(class int32) bool { return class == suspects[0] || s.refused(class) })
		if !ok {
			return
		}
		s.add(f)
	}
}

// cheapestTrade returns the trade that widens the interval of v most, up to what v needs, and the cheapest of these. It
// moves no class that skip names.
func (s *solver) cheapestTrade(v int32, skip func(class int32) bool) (best point, found bool) {
	low, high := s.extremes(v)
	var width, cost int64
	for _, cell := range s.members[v] {
		leaf, ok := s.leaf(int(cell), skip)
		if !ok {
			continue
		}
		one := s.above(leaf)
		for other := range s.beside(one, skip) {
			f, price, ok := s.exchange(v, one, s.above(other), skip)
			if !ok {
				continue
			}
			reached := min(max(high, f.at(v))-min(low, f.at(v)), s.need[v]*scale)
			if !s.wide(v) && reached <= high-low {
				continue
			}
			if !found || reached > width || reached == width && price < cost {
				best, width, cost, found = f, reached, price, true
			}
		}
	}
	return best, found
}

// leaf returns the largest cell of those that a cell is the sum of, and that are the sum of nothing themselves; one that is
// withheld where there is any. It returns false where each is one of a class that skip names.
func (s *solver) leaf(cell int, skip func(class int32) bool) (leaf int, ok bool) {
	for _, number := range s.through[cell] {
		line := &s.lines[number]
		if line.Total != cell {
			continue
		}
		best := -1
		for _, part := range line.Parts {
			switch class := s.class[part]; {
			case class < 0 || skip(class):
			case best < 0, s.in[class] && !s.in[s.class[best]]:
				best = part
			case s.in[class] == s.in[s.class[best]] && s.value[class] > s.value[s.class[best]]:
				best = part
			}
		}
		if best < 0 {
			return 0, false
		}
		return s.leaf(best, skip)
	}
	return cell, !skip(s.class[cell])
}

// above returns a cell and all its totals.
func (s *solver) above(cell int) map[int]bool {
	all := map[int]bool{cell: true}
	queue := []int{cell}
	for k := 0; k < len(queue); k++ {
		for _, number := range s.through[queue[k]] {
			if total := s.lines[number].Total; !all[total] {
				all[total] = true
				queue = append(queue, total)
			}
		}
	}
	s.work += 10 * len(all)
	return all
}

// beside iterates over leaves that share lines with the cells: one for each other part of a line.
func (s *solver) beside(cells map[int]bool, skip func(class int32) bool) func(yield func(leaf int) bool) {
	return func(yield func(leaf int) bool) {
		seen := map[int]bool{}
		for _, cell := range slices.Sorted(maps.Keys(cells)) {
			for _, number := range s.through[cell] {
				line := &s.lines[number]
				if line.Total == cell {
					continue
				}
				for _, part := range line.Parts {
					if s.class[part] < 0 || cells[part] {
						continue
					}
					leaf, ok := s.leaf(part, skip)
					if !ok || seen[leaf] {
						continue
					}
					seen[leaf] = true
					if !yield(leaf) {
						return
					}
				}
			}
		}
	}
}

// exchange returns the point in which the cells of the one alone rise and those of the other alone fall, or the other way
// round, as far as v has to move, and what withholding them costs. It returns false where there is no such point.
func (s *solver) exchange(v int32, one, other map[int]bool, skip func(class int32) bool) (f point, cost int64, ok bool) {
	moves := map[int32]int64{}
	for cell := range one {
		if !other[cell] {
			moves[s.class[cell]] = 1
		}
	}
	for cell := range other {
		if !one[cell] {
			if moves[s.class[cell]] == 1 {
				return f, 0, false
			}
			moves[s.class[cell]] = -1
		}
	}
	if moves[v] == 0 {
		return f, 0, false
	}
	rise, fall := s.grand, s.grand // how far v can rise, and fall
	for class, sign := range moves {
		if class < 0 || skip(class) {
			return f, 0, false
		}
		if !s.in[class] {
			cost += s.cost[class]
		}
		if sign == moves[v] {
			rise, fall = min(rise, s.grand-s.value[class]), min(fall, s.value[class])
		} else {
			rise, fall = min(rise, s.value[class]), min(fall, s.grand-s.value[class])
		}
	}
	low, high := s.extremes(v)
	up, down := min(rise, max(1, s.need[v]+low/scale)), min(fall, max(1, s.need[v]-high/scale))
	move := up * moves[v]
	if up < s.need[v]+low/scale && down > up {
		move = -down * moves[v]
	}
	if move == 0 {
		return f, 0, false
	}
	f.class = slices.Sorted(maps.Keys(moves))
	for _, class := range f.class {
		f.move = append(f.move, move*moves[class]*scale)
	}
	s.work += 20 * len(moves)
	return f, cost, s.valid(&f)
}
