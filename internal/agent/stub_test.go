package agent_test

import (
	"net/http"
	"net/http/httptest"
)

const subprocessEnv = "X"

func subprocess() int { return 0 }

func serveHTTP2(s *httptest.Server) {
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetHTTP2(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
}
