// Caddy as a proxy with Coraza before it, for `npm run bench -- waf-chain`: its own server, router and reverse proxy, and a handler over coraza/v3/http.
//
// caddy run --config FILE, where a route's handler is {"handler": "coraza", "directives": "…"}.
package main

import (
	"net/http"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/corazawaf/coraza/v3"
	corazahttp "github.com/corazawaf/coraza/v3/http"
)

func init() { caddy.RegisterModule(Handler{}) }

// Handler inspects a request before it goes on.
type Handler struct {
	// Directives are SecLang.
	Directives string `json:"directives"`

	waf coraza.WAF
}

// CaddyModule says its name.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.coraza", New: func() caddy.Module { return new(Handler) }}
}

// Provision compiles the rules.
func (h *Handler) Provision(caddy.Context) (err error) {
	h.waf, err = coraza.NewWAF(coraza.NewWAFConfig().WithDirectives(h.Directives))
	return err
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	var failed error
	corazahttp.WrapHandler(h.waf, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		failed = next.ServeHTTP(w, r)
	})).ServeHTTP(w, r)
	return failed
}

var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)

func main() { caddycmd.Main() }
