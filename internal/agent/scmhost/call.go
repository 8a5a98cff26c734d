package scmhost

import (
	"context"
	"encoding/json"
	"io"
	"net/http"

	"github.com/musterhq/muster/internal/fault"
)

// getJSON calls a host that has no client of its own here. The URL holds no
// credential; authorization is the header's value, empty for none.
func (s Site) getJSON(ctx context.Context, url, authorization string, out any) (http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, fault.New(fault.InvalidArgument, fault.InvalidField, "%s cannot be asked about this: the name does not fit into a URL.", s.Host)
	}
	req.Header.Set("Accept", "application/json")
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := s.HTTP.Do(req)
	if err != nil {
		return nil, s.faultOf(nil, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, s.faultOf(resp, nil)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, s.faultOf(nil, err)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return nil, fault.New(fault.Unavailable, fault.HostUnavailable, "%s answered with something that is no JSON.", s.Host)
	}
	return resp.Header, nil
}
