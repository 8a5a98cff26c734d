package rpc

import "github.com/musterhq/muster/internal/access"

// Procedures names what the handler serves.
func (h *Handler) Procedures() []string {
	var names []string
	for _, p := range h.procedures {
		names = append(names, p.name)
	}
	return names
}

// SetRule replaces a procedure's row of the access table; nil removes it.
func (h *Handler) SetRule(procedure string, rule *access.Rule) {
	p := h.procedures["/"+procedure]
	if p.ruled = rule != nil; p.ruled {
		p.rule = *rule
	}
}

// ParsePageQuery is parsePageQuery for fuzzing.
func ParsePageQuery(raw string) (token string, size int32, err error) {
	q, err := parsePageQuery(raw)
	return q.token, q.size, err
}
