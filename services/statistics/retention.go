package statistics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/comity-federation/comity/services/fault"
)

// RetentionRule says how long figures are kept. A limit of "" is none; where there are several, the first one that has
// passed removes a figure.
type RetentionRule struct {
	Dataflow        Ref    // the zero Ref: all
	Provider        string // "": all partners
	AfterReceived   string // since it was stored as it stands, such as "P2Y"
	AfterPeriod     string // since the last day of its period
	AfterSuperseded string // since another one came in its place, or none
	Author          string
	CreateTime      time.Time
}

// Expiry says which figures of a part have had their time.
type Expiry struct {
	Rule       *RetentionRule // that counts; nil: none
	Received   time.Time      // those stored until then; the zero Time: no limit
	Ended      time.Time      // those whose period ended before that day
	Superseded time.Time      // those that were not the newest any more then
	TermsAt    time.Time      // when the terms that figures came under are looked at; the zero Time: they do not count
}

// Removal is an entry of the log of what was removed. It is written with what it tells of.
type Removal struct {
	ID         string
	Part       Part
	Rule       *RetentionRule // nil: only terms counted
	Figures    int64          // of the newest state
	Superseded int64          // that others had come in the place of
	ByTerms    int64          // of both, those that the rule alone would have left
	Series     int64          // of which nothing is left
	FirstDay   time.Time      // of the first period of them
	LastDay    time.Time      // of the last one
	Chunks     int            // transactions
	StartTime  time.Time
	EndTime    time.Time
}

// RetentionStore keeps rules of retention, and removes what they say.
type RetentionStore interface {
	// RetentionRules returns the rules, by dataflow and provider.
	RetentionRules(ctx context.Context) ([]RetentionRule, error)
	// PutRetentionRule stores a rule in place of the one for its dataflow and provider.
	PutRetentionRule(ctx context.Context, rule *RetentionRule) error
	// DeleteRetentionRule takes a rule away; NotFound where there is none.
	DeleteRetentionRule(ctx context.Context, dataflow Ref, provider string) error
	// Parts returns every part that ever had a figure.
	Parts(ctx context.Context) ([]Part, error)
	// RemoveExpired removes, in one transaction, what has expired of at most so many blocks of a part after the cursor, "" being
	// the first; from the newest state and from the history. It adds that to the removal with the id, if it is anything, and
	// returns the cursor to go on from, "" after the last block.
	RemoveExpired(ctx context.Context, part Part, id string, e *Expiry, cursor string, blocks int) (next string, err error)
	// Removals returns at most limit entries of the log, the newest first, from after the one with the id; "": the newest.
	Removals(ctx context.Context, limit int, after string) ([]Removal, error)
}

// TermsStore keeps the terms that figures came under.
type TermsStore interface {
	// PutTerms says after how many days what this transaction changes of a part, which is locked, is removed.
	PutTerms(ctx context.Context, part Part, keepDays int) error
}

const (
	removedBlocks = 2_000   // that one transaction looks at: a few ten thousand figures
	maxDuration   = 400_000 // days, or as many months or years: past that no date is one
)

var durationPattern = regexp.MustCompile(`^P(?:(\d{1,6})Y)?(?:(\d{1,6})M)?(?:(\d{1,6})W)?(?:(\d{1,6})D)?$`)

// duration is a time by the calendar.
type duration struct{ years, months, days int }

// parseDuration reads an ISO 8601 duration of days or longer units, or a number of days. It is above zero.
func parseDuration(text string) (duration, error) {
	if _, err := strconv.Atoi(text); err == nil {
		text = "P" + text + "D"
	}
	parts := durationPattern.FindStringSubmatch(text)
	if parts == nil {
		return duration{}, errors.New(`is no duration such as "P2Y", "P1Y6M" or "P90D"`)
	}
	var numbers [4]int
	for i := range numbers {
		numbers[i], _ = strconv.Atoi("0" + parts[i+1]) // at most six digits
	}
	s := duration{years: numbers[0], months: numbers[1], days: 7*numbers[2] + numbers[3]}
	if s == (duration{}) {
		return s, errors.New("is no time at all: leave it out where there is no limit")
	}
	if 366*s.years+31*s.months+s.days > maxDuration {
		return s, fmt.Errorf("is longer than %d days", maxDuration)
	}
	return s, nil
}

// before returns the moment that lies the duration before another. Where the month has no such day, it is its last one, so that
// nothing has had its time too early.
func (s duration) before(t time.Time) time.Time {
	first := time.Date(t.Year()-s.years, t.Month()-time.Month(s.months), 1, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), t.Location())
	day := min(t.Day(), first.AddDate(0, 1, -1).Day())
	return first.AddDate(0, 0, day-1-s.days)
}

// limits calls each with the limits that the rule has.
func (r *RetentionRule) limits(each func(field, limit string) error) error {
	for _, limit := range []struct{ field, text string }{
		{"afterReceived", r.AfterReceived}, {"afterPeriod", r.AfterPeriod}, {"afterSuperseded", r.AfterSuperseded},
	} {
		if limit.text == "" {
			continue
		}
		if err := each(limit.field, limit.text); err != nil {
			return err
		}
	}
	return nil
}

// SetRetention stores a rule in place of the one for its dataflow and provider. What is wrong with it is a fault of kind
// Invalid.
func (s *Service) SetRetention(ctx context.Context, rule RetentionRule) (RetentionRule, error) {
	err := rule.limits(func(field, limit string) error {
		if _, err := parseDuration(limit); err != nil {
			return fault.InvalidField("rule."+field, "%v", err)
		}
		return nil
	})
	if err != nil {
		return rule, err
	}
	if err := s.aim(ctx, &rule); err != nil {
		return rule, err
	}
	rule.CreateTime = s.moment()
	return rule, s.store.PutRetentionRule(ctx, &rule)
}

// RemoveRetention takes the rule for a dataflow and provider away; NotFound where there is none.
func (s *Service) RemoveRetention(ctx context.Context, dataflow Ref, provider string) error {
	if err := checkProvider(provider); err != nil {
		return err
	}
	return s.store.DeleteRetentionRule(ctx, dataflow, provider)
}

func checkProvider(provider string) error {
	if len(provider) > maxTextLength || !isText(provider) || strings.TrimSpace(provider) != provider {
		return fault.InvalidField("rule.provider", "is no provider")
	}
	return nil
}

// aim checks what a rule is for.
func (s *Service) aim(ctx context.Context, rule *RetentionRule) error {
	if err := checkProvider(rule.Provider); err != nil {
		return err
	}
	if rule.Dataflow == (Ref{}) {
		return nil
	}
	catalogue, err := s.Catalogue(ctx)
	if err != nil {
		return err
	}
	flow, err := catalogue.Flow(rule.Dataflow)
	if err != nil {
		return err
	}
	rule.Dataflow = flow.Ref
	return nil
}

// Retention returns the rules, by dataflow and provider.
func (s *Service) Retention(ctx context.Context) ([]RetentionRule, error) {
	return s.store.RetentionRules(ctx)
}

// Removals returns at most limit entries of the log of what was removed, the newest first, from after the one with the id;
// "": the newest.
func (s *Service) Removals(ctx context.Context, limit int, after string) ([]Removal, error) {
	return s.store.Removals(ctx, limit, after)
}

// isPartner reports whether the provider is another state.
func (s *Service) isPartner(provider string) bool {
	return provider != s.state && !isPublished(provider)
}

// RuleFor returns the rule that counts for a part: the most specific one; nil where there is none.
func (s *Service) RuleFor(part Part, rules []RetentionRule) *RetentionRule {
	var found *RetentionRule
	best := -1
	for i := range rules {
		r := &rules[i]
		named := r.Provider == part.Provider
		if r.Dataflow != (Ref{}) && r.Dataflow != part.Dataflow || !named && (r.Provider != "" || !s.isPartner(part.Provider)) {
			continue
		}
		specific := 0
		if r.Dataflow != (Ref{}) {
			specific++
		}
		if named {
			specific += 2
		}
		if specific > best {
			found, best = r, specific
		}
	}
	return found
}

// expiry returns what has expired of a part now; nil where nothing can.
func (s *Service) expiry(part Part, rules []RetentionRule) (*Expiry, error) {
	now := s.moment()
	e := &Expiry{Rule: s.RuleFor(part, rules)}
	if s.isPartner(part.Provider) {
		e.TermsAt = now
	}
	if e.Rule == nil {
		if e.TermsAt.IsZero() {
			return nil, nil
		}
		return e, nil
	}
	err := e.Rule.limits(func(field, limit string) error {
		length, err := parseDuration(limit)
		if err != nil {
			return fmt.Errorf("the limit %s %q: %w", field, limit, err)
		}
		switch at := length.before(now); field {
		case "afterReceived":
			e.Received = at
		case "afterPeriod":
			e.Ended = at.Truncate(24 * time.Hour)
		default:
			e.Superseded = at
		}
		return nil
	})
	return e, err
}

// RemoveExpired removes everything whose time is over, chunk by chunk. Where it ends too early, what is removed is removed
// and logged, and the next time goes on. A part that fails keeps back no other.
func (s *Service) RemoveExpired(ctx context.Context) error {
	rules, err := s.store.RetentionRules(ctx)
	if err != nil {
		return err
	}
	parts, err := s.store.Parts(ctx)
	if err != nil {
		return err
	}
	var failed []error
	for _, part := range parts {
		if err := s.removeExpired(ctx, part, rules); err != nil {
			failed = append(failed, fmt.Errorf("removing from %s of %s: %w", part.Dataflow, part.Provider, err))
		}
	}
	return errors.Join(failed...)
}

func (s *Service) removeExpired(ctx context.Context, part Part, rules []RetentionRule) error {
	e, err := s.expiry(part, rules)
	if err != nil || e == nil {
		return err
	}
	id, cursor := s.newID(), ""
	for {
		if cursor, err = s.store.RemoveExpired(ctx, part, id, e, cursor, removedBlocks); err != nil || cursor == "" {
			return err
		}
	}
}

// RemoveExpiredEvery removes what has expired each time the span has gone by, until ctx ends. What fails is logged and tried
// again the next time.
func (s *Service) RemoveExpiredEvery(ctx context.Context, span time.Duration, log *slog.Logger) error {
	return repeat(ctx, span, func() {
		if err := s.RemoveExpired(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, ErrReadOnly) {
			log.ErrorContext(ctx, "removing what has expired", "error", err)
		}
	})
}

// putTerms keeps the terms that the changes came under; 0: none.
func (c *change) putTerms(ctx context.Context, tx Transaction, keepDays int) error {
	if keepDays == 0 {
		return nil
	}
	put := func(flow *Flow, changes *Changes) error {
		if changes.Len() == 0 {
			return nil
		}
		return tx.PutTerms(ctx, Part{Dataflow: flow.Ref, Provider: c.source.Provider}, keepDays)
	}
	if err := put(c.flow, c.own); err != nil {
		return err
	}
	for _, h := range c.harvests {
		if err := put(h.flow, h.changes); err != nil {
			return err
		}
	}
	return nil
}
