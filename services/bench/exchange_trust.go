package bench

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/comity-federation/comity/proto/block"
	typespb "github.com/comity-federation/comity/proto/comity/types/v1"
	"github.com/comity-federation/comity/proto/filter"
	blockwire "github.com/comity-federation/comity/proto/wire"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/wire"
)

// inFlight is how many batches are on their way at once.
const inFlight = 16

// costOfTrust holds the exchange against gRPC without TLS that puts the same batches into a durable table, one transaction for
// each: once as the rows that they hold, and once as they are, in one value.
func (x *exchange) costOfTrust(ctx context.Context) error {
	for _, size := range []struct {
		rows, batches int
		limit         float64
	}{{4096, 1000, 2}, {256, 6000, 3.5}} {
		count := max(int(float64(size.batches)*x.Scale), inFlight)
		var blocks []*block.Block
		for i := range min(count, 64) { // the same again and again
			blocks = append(blocks, x.block(i*size.rows, size.rows))
		}
		asRows, err := x.bare(ctx, fmt.Sprintf("rows%d", size.rows), blocks, count, insertRows)
		if err != nil {
			return err
		}
		asBytes, err := x.bare(ctx, fmt.Sprintf("bytes%d", size.rows), blocks, count, insertBytes)
		if err != nil {
			return err
		}
		full, err := x.full(ctx, fmt.Sprintf("full%d", size.rows), blocks, count)
		if err != nil {
			return err
		}
		figures := count * size.rows
		ratio := full.Seconds() / asBytes.Seconds()
		x.table.add(Row{
			What:   fmt.Sprintf("cost of trust at %d rows a batch, %d in flight: against bare gRPC and an insert of each batch as it is", size.rows, inFlight),
			Figure: fmt.Sprintf("%.0f obs/s for %.0f", perSecond(figures, full), perSecond(figures, asBytes)),
			Limit:  fmt.Sprintf("≤ %g", size.limit), Ratio: fmt.Sprintf("%.2f", ratio), Kept: ratio <= size.limit,
		})
		x.table.note("    the same, against an insert of its rows", fmt.Sprintf("for %.0f obs/s", perSecond(figures, asRows)),
			fmt.Sprintf("%.2f", full.Seconds()/asRows.Seconds()))
	}
	return nil
}

// block returns figures of the cube, those of a month series by series.
func (x *exchange) block(from, rows int) *block.Block {
	builder := block.NewBuilder(append(dimensions(), block.TimePeriod, block.ObsStatus, block.ConfStatus), []string{block.ObsValue})
	for i := from; i < from+rows; i++ {
		n, month := i%x.series(), i/x.series()
		builder.Append(append(x.key(n), period(month), "A", "F"), []float64{float64(x.value(n, month, 0))})
	}
	return builder.Block()
}

// full sends batches from the provider to the receiver, and returns how long it took until the provider had all receipts.
func (x *exchange) full(ctx context.Context, name string, blocks []*block.Block, count int) (took time.Duration, err error) {
	p, err := x.newNeighbours(ctx, name)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, p.end()) }()
	begin := time.Now()
	for sent := 0; sent < count; {
		n := min(64, count-sent)
		if err := p.release(ctx, blocks[:n]); err != nil {
			return 0, err
		}
		sent += n
	}
	err = await(ctx, "receipts", func() (bool, error) {
		standings, err := p.provider.store.Standings(ctx)
		return err == nil && standings[receiverCode].ReceiptedSequence >= uint64(count), err //nolint:gosec // a count is not negative
	})
	return time.Since(begin), err
}

// release puts a release of so many batches on its way, as a release is that passed disclosure control.
func (p *neighbours) release(ctx context.Context, blocks []*block.Block) error {
	var codec wire.Codec
	s := p.provider.Service
	var payloads [][]byte
	total := sha256.New()
	for _, b := range blocks {
		payload, err := codec.EncodePayload(b)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(payload)
		total.Write(sum[:])
		payloads = append(payloads, payload)
	}
	var ruling sharing.Ruling
	now := time.Now().UTC().Truncate(time.Microsecond)
	question := sharing.Question{
		State: state, Partner: receiverCode, Direction: "send", Dataflow: pairFlow, Indicator: "1A", Date: now.Format(time.DateOnly),
		Requested: map[string][]sharing.RequestedCode{},
	}
	revision, err := p.provider.Policy.Evaluate(ctx, "data.comity.exchange.decision", question, &ruling)
	if err != nil {
		return err
	}
	if !ruling.Allow {
		return fmt.Errorf("policy refuses: %v", ruling.Reasons)
	}
	decision := sharing.Decision{
		ID: sharing.DecisionID(uuid.Must(uuid.NewV7()).String()), Created: now, Use: "release", PolicyRevision: revision,
		Indicators: []sharing.DecidedRequest{{Question: question, Ruling: ruling, Include: sharing.Condition{Filter: filter.True()}}},
	}
	decided, err := json.Marshal(decision)
	if err != nil {
		return err
	}
	scope := filter.And(filter.Eq("REF_AREA", "NZ"), filter.Eq("INDICATOR", "1A"))
	r := sharing.Release{
		ID: sharing.ReleaseID(uuid.Must(uuid.NewV7()).String()), Partner: receiverCode, Agreement: pairTerms, AgreementVersion: 1,
		Dataflow: pairFlow, Indicators: []string{"1A"}, Decision: decision.ID, PolicyRevision: revision,
		Scope: sharing.Condition{Filter: scope}, Batches: len(payloads), SHA256: total.Sum(nil), Created: now,
	}
	document, err := json.Marshal(r)
	if err != nil {
		return err
	}
	stream := sharing.StreamName(state, receiverCode)
	return p.provider.store.Write(ctx, func(tx sharing.Tx) error {
		place, err := tx.LockOutbound(ctx, stream, receiverCode, uuid.Must(uuid.NewV7()).String())
		if err != nil {
			return err
		}
		if err := tx.AddDecision(ctx, decision.ID, decided, newLeaf(sharing.EntryDecision, string(decision.ID), now, decided)); err != nil {
			return err
		}
		subject := fmt.Sprintf("%s/%s/%d/%s", r.Partner, r.Agreement, r.AgreementVersion, r.ID)
		if err := tx.AddRelease(ctx, r, document, newLeaf(sharing.EntryRelease, subject, now, document)); err != nil {
			return err
		}
		header := sharing.Header{
			Sender: state, Receiver: receiverCode, Agreement: pairTerms, AgreementVersion: 1, Decision: decision.ID,
			PolicyRevision: revision, Stream: stream, Epoch: place.Epoch, Sequence: place.Sequence, Previous: place.SHA256,
			Created: now, Expires: now.Add(s.Lifetime), Release: r.ID, BatchCount: r.Batches, ReleaseSHA256: r.SHA256,
			Dataflow: pairFlow, Scope: scope, Codelists: []string{"BENCH:CL_SECTION(1.0.0)"},
		}
		sealed := make([]sharing.SentEnvelope, len(payloads))
		for i, payload := range payloads {
			header.Sequence, header.BatchIndex = header.Sequence+1, i
			if sealed[i], err = s.Seal(header, payload, blocks[i].Rows); err != nil {
				return err
			}
			header.Previous = sealed[i].Leaf.ContentSHA256
		}
		return tx.AddEnvelopes(ctx, stream, place.Epoch, sealed)
	})
}

// newLeaf returns the leaf for a content.
func newLeaf(kind sharing.EntryKind, subject string, created time.Time, content []byte) sharing.Leaf {
	salt := make([]byte, sha256.Size)
	_, _ = rand.Read(salt) // it never fails
	sum := sha256.Sum256(content)
	return sharing.Leaf{Kind: kind, Subject: subject, Created: created, Salt: salt, ContentSHA256: sum[:]}
}

// insert keeps a batch in a table of its own, which make prepared.
type insert struct {
	table string // the columns
	keep  func(ctx context.Context, pool *pgxpool.Pool, b *typespb.Block) error
}

// bare sends batches over gRPC without TLS to who keeps each in a transaction, and returns how long it took.
func (x *exchange) bare(ctx context.Context, name string, blocks []*block.Block, count int, with insert) (took time.Duration, err error) {
	admin, err := x.cluster.Admin(ctx, "postgres")
	if err != nil {
		return 0, err
	}
	_, err = admin.Exec(ctx, `CREATE DATABASE "`+name+`"`)
	if err = errors.Join(err, admin.Close(ctx)); err != nil {
		return 0, err
	}
	config, err := pgxpool.ParseConfig(x.cluster.URL("postgres", x.cluster.Password, name))
	if err != nil {
		return 0, err
	}
	config.MaxConns = inFlight
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return 0, err
	}
	defer pool.Close()
	if _, err := pool.Exec(ctx, `CREATE TABLE batch `+with.table); err != nil {
		return 0, err
	}
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "bench.Bare", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Put", Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			b := &typespb.Block{}
			if err := decode(b); err != nil {
				return nil, err
			}
			return &emptypb.Empty{}, with.keep(ctx, pool, b)
		}}},
	}, nil)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()
	connection, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, connection.Close()) }()
	begin := time.Now()
	callers, calling := errgroup.WithContext(ctx)
	for caller := range inFlight {
		callers.Go(func() error {
			for i := caller; i < count; i += inFlight {
				if err := connection.Invoke(calling, "/bench.Bare/Put", blockwire.BlockToProto(blocks[i%len(blocks)]), &emptypb.Empty{}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err = callers.Wait()
	return time.Since(begin), err
}

// insertBytes keeps a batch in one value.
var insertBytes = insert{
	table: `(id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, content bytea NOT NULL)`,
	keep: func(ctx context.Context, pool *pgxpool.Pool, b *typespb.Block) error {
		content, err := proto.Marshal(b)
		if err != nil {
			return err
		}
		_, err = pool.Exec(ctx, `INSERT INTO batch (content) VALUES ($1)`, content)
		return err
	},
}

// insertRows keeps a batch as its rows.
var insertRows = insert{
	table: `(freq text, ref_area text, indicator text, section text, border_type text, citizenship text, sex text, age text, detail text,
		time_period text, obs_status text, conf_status text, obs_value float8)`,
	keep: func(ctx context.Context, pool *pgxpool.Pool, p *typespb.Block) error {
		b, err := blockwire.BlockFromProto(p)
		if err != nil {
			return err
		}
		arguments := make([]any, len(b.Columns))
		for i := range b.Columns {
			c := &b.Columns[i]
			if c.IsNumber() {
				arguments[i] = c.Numbers
				continue
			}
			texts := make([]string, b.Rows)
			for row := range texts {
				texts[row] = c.Text(row)
			}
			arguments[i] = texts
		}
		_, err = pool.Exec(ctx, `
			INSERT INTO batch
			SELECT *
			FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
				$10::text[], $11::text[], $12::text[], $13::float8[])`, arguments...)
		return err
	},
}
