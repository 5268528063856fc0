package rpc

import "github.com/comity-federation/comity/services/fault"

const (
	usualPage   = 100
	largestPage = 1_000
)

// PageSize returns how many items the page of a list has for which so many were asked: 100 for 0, and 1,000 at most.
func PageSize(asked int32) (int, error) {
	switch {
	case asked < 0:
		return 0, fault.InvalidField("pageSize", "%d is negative", asked)
	case asked == 0:
		return usualPage, nil
	}
	return min(int(asked), largestPage), nil
}
