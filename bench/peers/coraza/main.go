// Runs a plan of `npm run bench -- waf` with Coraza: see native/waf/examples/plan.rs for plans and answers.
//
// coraza PLAN [prefilter] [re2]: `prefilter` turns SecRxPreFilter on, `re2` matches @rx with RE2.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net/textproto"
	"os"
	"runtime"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/experimental/plugins"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"
	re2 "github.com/wasilibs/go-re2"
	re2experimental "github.com/wasilibs/go-re2/experimental"
)

// Inspections before the clock counts.
const warmUp = 5

type request struct {
	name, method, target, protocol string
	fields                         [][2]string
	body                           []byte
}

type plan struct {
	rules    []string
	requests []request
	millis   int64
	times    int
}

// @rx with RE2, bytes matched as bytes where the expression names any.
type rx struct{ re *re2.Regexp }

func newRx(options plugintypes.OperatorOptions) (plugintypes.Operator, error) {
	text := "(?s)" + options.Arguments
	compile := re2.Compile
	if strings.Contains(text, `\x`) {
		compile = re2experimental.CompileLatin1
	}
	re, err := compile(text)
	if err != nil {
		return nil, err
	}
	return &rx{re}, nil
}

func (o *rx) Evaluate(tx plugintypes.TransactionState, value string) bool {
	if !tx.Capturing() {
		return o.re.MatchString(value)
	}
	groups := o.re.FindStringSubmatch(value)
	for i, group := range groups {
		if i == 10 {
			break
		}
		tx.CaptureField(i, group)
	}
	return groups != nil
}

func main() {
	p := readPlan(os.Args[1])
	options := os.Args[2:]
	if slices.Contains(options, "re2") {
		plugins.RegisterOperator("rx", newRx)
	}
	ids := map[int]bool{}
	config := coraza.NewWAFConfig().WithErrorCallback(func(rule types.MatchedRule) { ids[rule.Rule().ID()] = true })
	if slices.Contains(options, "prefilter") {
		config = config.WithDirectives("SecRxPreFilter On")
	}
	for _, path := range p.rules {
		config = config.WithDirectivesFromFile(path)
	}
	before := residentBytes()
	begin := time.Now()
	waf, err := coraza.NewWAF(config)
	check(err)
	fmt.Printf("load\t%d\n", time.Since(begin).Nanoseconds())
	runtime.GC()
	fmt.Printf("memory\t%d\n", residentBytes()-before)
	for i := range p.requests {
		r := &p.requests[i]
		inspectOnce := func() { inspect(waf, r) }
		if p.times > 0 {
			for range p.times {
				inspectOnce()
			}
			continue
		}
		ns := median(p.millis, inspectOnce)
		clear(ids)
		inspectOnce()
		found := make([]int, 0, len(ids))
		for id := range ids {
			found = append(found, id)
		}
		sort.Ints(found)
		texts := make([]string, len(found))
		for i, id := range found {
			texts[i] = strconv.Itoa(id)
		}
		fmt.Printf("request\t%s\t%d\t%s\n", r.name, ns, strings.Join(texts, ","))
	}
}

func inspect(waf coraza.WAF, r *request) {
	tx := waf.NewTransaction()
	tx.ProcessConnection("192.0.2.7", 50000, "192.0.2.1", 80)
	tx.ProcessURI(r.target, r.method, r.protocol)
	for _, f := range r.fields {
		tx.AddRequestHeader(f[0], f[1])
		if f[0] == "host" {
			tx.SetServerName(f[1])
		}
	}
	tx.ProcessRequestHeaders()
	if len(r.body) > 0 {
		_, _, err := tx.WriteRequestBody(r.body)
		check(err)
	}
	_, err := tx.ProcessRequestBody()
	check(err)
	tx.AddResponseHeader("content-type", "application/json")
	tx.ProcessResponseHeaders(200, "HTTP/1.1")
	_, err = tx.ProcessResponseBody()
	check(err)
	tx.ProcessLogging()
	check(tx.Close())
}

// Median of what each call takes, in nanoseconds; one of more than a tenth of the time is timed once.
func median(millis int64, once func()) int64 {
	begin := time.Now()
	once()
	if first := time.Since(begin); first.Nanoseconds() > millis*100_000 {
		return first.Nanoseconds()
	}
	for range warmUp {
		once()
	}
	var each []int64
	for len(each) < 3 || time.Since(begin).Milliseconds() < millis {
		from := time.Now()
		once()
		each = append(each, time.Since(from).Nanoseconds())
	}
	slices.Sort(each)
	return each[len(each)/2]
}

func readPlan(path string) plan {
	text, err := os.ReadFile(path)
	check(err)
	var p plan
	for line := range strings.SplitSeq(strings.TrimRight(string(text), "\n"), "\n") {
		words := strings.Split(line, "\t")
		switch words[0] {
		case "rules":
			p.rules = append(p.rules, words[1])
		case "millis":
			p.millis, err = strconv.ParseInt(words[1], 10, 64)
			check(err)
		case "times":
			p.times, err = strconv.Atoi(words[1])
			check(err)
		case "request":
			p.requests = append(p.requests, readRequest(words[1], words[2]))
		}
	}
	return p
}

func readRequest(path, name string) request {
	content, err := os.ReadFile(path)
	check(err)
	head, body, _ := bytes.Cut(content, []byte("\r\n\r\n"))
	lines := textproto.NewReader(bufio.NewReader(bytes.NewReader(append(head, '\r', '\n'))))
	first, err := lines.ReadLine()
	check(err)
	words := strings.Split(first, " ")
	r := request{name: name, method: words[0], target: words[1], protocol: words[2], body: body}
	for {
		line, err := lines.ReadLine()
		if err != nil {
			return r
		}
		if field, value, ok := strings.Cut(line, ": "); ok {
			r.fields = append(r.fields, [2]string{field, value})
		}
	}
}

func residentBytes() int64 {
	text, err := os.ReadFile("/proc/self/status")
	check(err)
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	check(err)
	return kib * 1024
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
