package main

import (
	"compress/gzip"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/comity-federation/comity/gateway/sdmx"
	"github.com/comity-federation/comity/proto/block"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	typespb "github.com/comity-federation/comity/proto/comity/types/v1"
	"github.com/comity-federation/comity/proto/wire"
)

// sdmxPath is where SDMX REST 2.x begins.
const sdmxPath = "/sdmx/v2/"

// sdmxHandler answers data queries of SDMX REST 2.x.
type sdmxHandler struct {
	state      string // the code of this state, the sender of messages
	statistics statisticspb.StatisticsServiceClient
}

// ServeHTTP answers one query.
func (h *sdmxHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Access-Control-Allow-Origin", "*")
	header.Set("Access-Control-Expose-Headers", "X-Request-Id, X-Comity-Reason, X-Comity-Revision, Content-Disposition, Link")
	header.Set("Vary", "Accept, Accept-Language, Accept-Encoding, Authorization")
	path := strings.TrimPrefix(r.URL.EscapedPath(), sdmxPath)
	resource, rest, _ := strings.Cut(strings.TrimLeft(path, "/"), "/")
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		header.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
		header.Set("Access-Control-Allow-Headers", "Authorization, Accept, Accept-Language, X-Request-Id")
		header.Set("Access-Control-Max-Age", "86400")
		w.WriteHeader(http.StatusNoContent)
		return
	default:
		header.Set("Allow", "GET, HEAD, OPTIONS")
		h.fail(w, r, methodNotAllowed(r))
		return
	}
	var err error
	switch resource {
	case "data":
		err = h.data(w, r, rest)
	case "structure", "availability", "schema", "metadata", "registration":
		err = &sdmx.Error{Status: http.StatusNotImplemented, Title: fmt.Sprintf("This service answers data queries; %s queries are not offered.", resource)}
	default:
		err = notFound(r)
	}
	if err != nil {
		h.fail(w, r, err)
	}
}

// fail answers with an error, unless the answer has begun: then it breaks the transfer, so that nobody takes the
// beginning for the whole.
func (h *sdmxHandler) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := sdmxProblem(err)
	noteProblem(r.Context(), p)
	var begun *brokenOff
	if errors.As(err, &begun) {
		panic(http.ErrAbortHandler)
	}
	writeSDMXProblem(w, r, p)
}

// brokenOff is an error after the first byte of the answer.
type brokenOff struct{ cause error }

// Error returns the cause.
func (b *brokenOff) Error() string { return "answer broken off: " + b.cause.Error() }

// Unwrap returns the cause.
func (b *brokenOff) Unwrap() error { return b.cause }

// sdmxProblem returns the problem that an error is.
func sdmxProblem(err error) *problem {
	var e *sdmx.Error
	if !errors.As(err, &e) {
		return problemOf(err)
	}
	code, reason := codes.InvalidArgument, typespb.ErrorReason_INVALID_REQUEST
	switch e.Status {
	case http.StatusNotFound:
		code, reason = codes.NotFound, typespb.ErrorReason_NOT_FOUND
	case http.StatusNotImplemented:
		code = codes.Unimplemented
	}
	return newProblem(e.Status, code, reason, e.Title)
}

// writeSDMXProblem answers with the problem as an SDMX-JSON message.
func writeSDMXProblem(w http.ResponseWriter, r *http.Request, p *problem) {
	body, err := sdmx.ErrorMessage(messageOptions(r, "comity"), p.HTTP, p.Status.Message(), p.Reason())
	if err != nil {
		p.write(w)
		return
	}
	p.headers(w)
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("X-Comity-Reason", p.Reason())
	w.Header().Set("Content-Type", "application/vnd.sdmx.data+json;version=2.1.0")
	w.WriteHeader(p.HTTP)
	_, _ = w.Write(body)
}

func messageOptions(r *http.Request, sender string) sdmx.JSONOptions {
	id := strings.ReplaceAll(callFrom(r.Context()).ID, ".", "-")
	if id == "" {
		id = rand.Text()
	}
	return sdmx.JSONOptions{ID: id, Sender: sender, Prepared: time.Now()}
}

// data answers /data/….
func (h *sdmxHandler) data(w http.ResponseWriter, r *http.Request, path string) error {
	w.Header().Set("Link", `</v1/notices>; rel="describedby"`) // what of it was corrected or withdrawn
	query, err := sdmx.ParseDataQuery(path, r.URL.RawQuery)
	if err != nil {
		return err
	}
	providers, err := providersOf(query)
	if err != nil {
		return err
	}
	format, err := sdmx.Negotiate(query.Format, query.FormatVersion, strings.Join(r.Header.Values("Accept"), ","))
	if err != nil {
		return err
	}
	structure, err := h.structure(r.Context(), query)
	if err != nil {
		return err
	}
	bound, err := query.Bind(structure)
	if err != nil {
		return err
	}
	shown, measure, err := query.Shown(structure)
	if err != nil {
		return err
	}
	if bound.Scattered && format.Name != sdmx.CSV && query.DimensionAtObservation == sdmx.TimeSeries {
		return &sdmx.Error{Status: http.StatusBadRequest, Title: "This order takes series apart: ask for SDMX-CSV, or for dimensionAtObservation=AllDimensions."}
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	stream, err := h.statistics.Query(ctx, request(structure, shown, query, bound, providers))
	if err != nil {
		return err
	}
	out := &answer{w: w, r: r, format: format, dataflow: structure.Dataflow}
	out.open = func(to io.Writer) sdmx.Writer {
		language := query.Language
		if language == "" {
			language = sdmx.Language(r.Header.Get("Accept-Language"))
		}
		if format.Name == sdmx.CSV {
			return sdmx.NewCSVWriter(to, shown, sdmx.CSVOptions{Labels: format.Labels, Language: language, WithoutData: !measure})
		}
		options := messageOptions(r, h.state)
		options.Language, options.WithoutData = language, !measure
		options.DimensionAtObservation = query.DimensionAtObservation
		return sdmx.NewJSONWriter(to, shown, options)
	}
	defer out.clearDeadline()
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return out.close()
		}
		if err != nil {
			return out.failed(err)
		}
		out.revision = part.GetRevision()
		if part.GetBlock() == nil {
			continue
		}
		b, err := wire.BlockFromProto(part.GetBlock())
		if err == nil {
			err = out.write(b)
		}
		if err != nil {
			return out.failed(err)
		}
		if r.Method == http.MethodHead && out.begun() {
			return nil
		}
	}
}

// providersOf returns whose figures are asked for, by the parameter provider, and refuses parameters that nobody knows.
func providersOf(query *sdmx.DataQuery) ([]string, error) {
	var providers []string
	for name, values := range query.Others {
		if name != "provider" {
			return nil, &sdmx.Error{Status: http.StatusBadRequest, Title: fmt.Sprintf("There is no parameter %q.", name)}
		}
		for _, value := range values {
			providers = append(providers, strings.Split(value, ",")...)
		}
	}
	if slices.Contains(providers, "") {
		return nil, &sdmx.Error{Status: http.StatusBadRequest, Title: "The parameter provider holds an empty value."}
	}
	return providers, nil
}

// structure returns the one structure that the path names.
func (h *sdmxHandler) structure(ctx context.Context, query *sdmx.DataQuery) (*sdmx.Structure, error) {
	ref, ok := query.Dataflow()
	if !ok {
		var err error
		if ref, err = h.find(ctx, query); err != nil {
			return nil, err
		}
	}
	answer, err := h.statistics.GetStructures(ctx, &statisticspb.GetStructuresRequest{Dataflow: ref.String()})
	if err != nil {
		return nil, err
	}
	return structureFromProto(answer.GetStructures())
}

// find returns the one dataflow that a path with wildcards names, in its latest version.
func (h *sdmxHandler) find(ctx context.Context, query *sdmx.DataQuery) (sdmx.Ref, error) {
	answer, err := h.statistics.ListDataflows(ctx, &statisticspb.ListDataflowsRequest{})
	if err != nil {
		return sdmx.Ref{}, err
	}
	var found []sdmx.Ref
	for _, d := range answer.GetDataflows() {
		ref := sdmx.Ref{Agency: d.GetAgency(), ID: d.GetId(), Version: d.GetVersion()}
		if !query.Matches(ref) {
			continue
		}
		same := slices.IndexFunc(found, func(f sdmx.Ref) bool { return f.Agency == ref.Agency && f.ID == ref.ID })
		switch {
		case same < 0:
			found = append(found, ref)
		case sdmx.CompareVersions(ref.Version, found[same].Version) > 0:
			found[same] = ref
		}
	}
	switch len(found) {
	case 0:
		return sdmx.Ref{}, &sdmx.Error{Status: http.StatusNotFound, Title: "No dataflow fits the path."}
	case 1:
		return found[0], nil
	}
	names := make([]string, 0, len(found))
	for _, ref := range found[:min(len(found), 10)] {
		names = append(names, ref.String())
	}
	return sdmx.Ref{}, &sdmx.Error{
		Status: http.StatusNotImplemented,
		Title:  fmt.Sprintf("%d dataflows fit the path; one query answers for one: %s.", len(found), strings.Join(names, ", ")),
	}
}

// request asks for what a query is bound to, and for the attributes that are shown or looked at. Changes are of stored figures, so codes that a query of changes fixes choose
// among these, and are not summed.
func request(structure, shown *sdmx.Structure, query *sdmx.DataQuery, bound *sdmx.Bound, providers []string) *statisticspb.QueryRequest {
	ask := &statisticspb.QueryRequest{
		Dataflow: structure.Dataflow.String(), Providers: providers, StartPeriod: bound.StartPeriod, EndPeriod: bound.EndPeriod,
		FirstObservations: int32(query.Window.First), LastObservations: int32(query.Window.Last), //nolint:gosec // the parser bounds them
		Offset: int32(query.Window.Offset), Limit: int32(query.Window.Limit), //nolint:gosec // as above
	}
	conditions := bound.Filter
	if !query.UpdatedAfter.IsZero() {
		ask.UpdatedAfter = timestamppb.New(query.UpdatedAfter)
		conditions = bound.Condition()
	} else {
		for _, s := range bound.Selections {
			ask.Selections = append(ask.Selections, &statisticspb.Selection{Dimension: s.Dimension, Codes: s.Codes})
		}
	}
	if !conditions.IsTrue() {
		ask.Filter = wire.FilterToProto(conditions)
	}
	if !query.AsOf.IsZero() {
		ask.AsOf = timestamppb.New(query.AsOf)
	}
	for _, o := range bound.Order {
		if o.Descending {
			o.Component += " desc"
		}
		ask.OrderBy = append(ask.OrderBy, o.Component)
	}
	looked := conditions.Components()
	for _, o := range bound.Order {
		looked = append(looked, o.Component)
	}
	for _, a := range structure.Attributes {
		same := func(s sdmx.Component) bool { return s.ID == a.ID }
		if !slices.Contains(always, a.ID) && (slices.ContainsFunc(shown.Attributes, same) || slices.Contains(looked, a.ID)) {
			ask.Attributes = append(ask.Attributes, a.ID)
		}
	}
	return ask
}

// always are the attributes that every answer of statistics has.
var always = []string{block.ObsStatus, block.ConfStatus, block.Comment}

// structureFromProto returns what data messages need of a dataflow.
func structureFromProto(p *statisticspb.Structures) (*sdmx.Structure, error) {
	if len(p.GetDataflows()) != 1 || len(p.GetDataStructures()) != 1 {
		return nil, fmt.Errorf("statistics answered with %d dataflows and %d data structures", len(p.GetDataflows()), len(p.GetDataStructures()))
	}
	codelists := map[string]map[string]sdmx.Code{}
	for _, list := range p.GetCodelists() {
		codes := make(map[string]sdmx.Code, len(list.GetCodes()))
		for _, code := range list.GetCodes() {
			codes[code.GetId()] = sdmx.Code{Names: code.GetNames(), Parent: code.GetParent()}
		}
		codelists[refOf(list).String()] = codes
	}
	components := func(list []*statisticspb.Component) []sdmx.Component {
		components := make([]sdmx.Component, len(list))
		for i, c := range list {
			components[i] = sdmx.Component{ID: c.GetId(), Names: c.GetNames(), Codes: codelists[c.GetCodelist()]}
		}
		return components
	}
	flow, dsd := p.GetDataflows()[0], p.GetDataStructures()[0]
	if len(dsd.GetDimensions()) == 0 {
		return nil, errors.New("statistics answered with a data structure without dimensions")
	}
	return &sdmx.Structure{
		Dataflow: refOf(flow), DataStructure: refOf(dsd), Names: flow.GetNames(),
		Dimensions: components(dsd.GetDimensions()), Attributes: components(dsd.GetAttributes()),
	}, nil
}

func refOf(artefact interface {
	GetAgency() string
	GetId() string
	GetVersion() string
},
) sdmx.Ref {
	return sdmx.Ref{Agency: artefact.GetAgency(), ID: artefact.GetId(), Version: artefact.GetVersion()}
}

// answer is a data message on its way out. Nothing is sent before the first rows are there: until then the answer may
// still be an error, or 204.
type answer struct {
	w        http.ResponseWriter
	r        *http.Request
	format   sdmx.Format
	dataflow sdmx.Ref
	revision int64
	open     func(io.Writer) sdmx.Writer

	writer sdmx.Writer
	packed *gzip.Writer
}

func (a *answer) begun() bool { return a.writer != nil }

func (a *answer) begin() {
	header := a.w.Header()
	header.Set("Content-Type", a.format.ContentType())
	header.Set("Content-Disposition", fmt.Sprintf("inline; filename=%q", a.dataflow.Agency+"_"+a.dataflow.ID+a.format.Extension()))
	header.Set("Cache-Control", "private, no-cache")
	header.Set("X-Comity-Revision", strconv.FormatInt(a.revision, 10))
	var to io.Writer = a.w
	if acceptsGzip(a.r) {
		header.Set("Content-Encoding", "gzip")
		a.packed, _ = gzip.NewWriterLevel(a.w, gzip.BestSpeed) // the level is one there is
		to = a.packed
	}
	a.w.WriteHeader(http.StatusOK)
	a.writer = a.open(to)
}

// write sends the rows of a block; the first ones at once.
func (a *answer) write(b *block.Block) error {
	if b.Rows == 0 {
		return nil
	}
	first := !a.begun()
	if first {
		a.begin()
	}
	if err := a.extendDeadline(); err != nil {
		return err
	}
	if err := a.writer.Write(b); err != nil {
		return err
	}
	if !first {
		return nil
	}
	if err := a.writer.Flush(); err != nil {
		return err
	}
	if a.packed != nil {
		if err := a.packed.Flush(); err != nil {
			return err
		}
	}
	return ignoreUnsupported(http.NewResponseController(a.w).Flush())
}

// idleDownload is how long a client may take for a block of rows.
const idleDownload = 2 * time.Minute

func (a *answer) extendDeadline() error {
	return ignoreUnsupported(http.NewResponseController(a.w).SetWriteDeadline(time.Now().Add(idleDownload)))
}

// clearDeadline keeps the deadline of this answer from the next on the same connection.
func (a *answer) clearDeadline() { _ = http.NewResponseController(a.w).SetWriteDeadline(time.Time{}) }

func ignoreUnsupported(err error) error {
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}

// failed returns err as one that the client can still be told, or not.
func (a *answer) failed(err error) error {
	if a.begun() {
		return &brokenOff{err}
	}
	return err
}

// close ends the message. Where there was no row, the answer is 204.
func (a *answer) close() error {
	if !a.begun() {
		a.w.Header().Set("X-Comity-Revision", strconv.FormatInt(a.revision, 10))
		a.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if err := a.writer.Close(); err != nil {
		return &brokenOff{err}
	}
	if a.packed != nil {
		if err := a.packed.Close(); err != nil {
			return &brokenOff{err}
		}
	}
	return nil
}

// acceptsGzip reports whether the client takes gzip (RFC 9110, section 12.5.3).
func acceptsGzip(r *http.Request) bool {
	other, gzip := 0.0, -1.0
	for element := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		coding, parameter, _ := strings.Cut(element, ";")
		q := 1.0
		if value, ok := strings.CutPrefix(strings.ReplaceAll(parameter, " ", ""), "q="); ok {
			parsed, err := strconv.ParseFloat(value, 64)
			if err != nil {
				continue
			}
			q = parsed
		}
		switch strings.ToLower(strings.TrimSpace(coding)) {
		case "gzip", "x-gzip":
			gzip = q
		case "*":
			other = q
		}
	}
	if gzip >= 0 {
		return gzip > 0
	}
	return other > 0
}
