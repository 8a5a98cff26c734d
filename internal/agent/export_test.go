package agent

// SourceHosts is sourceHosts, for tests.
type SourceHosts = sourceHosts

// SetHosts puts something in the place of the source code hosts.
func (c *Config) SetHosts(h SourceHosts) { c.hosts = h }
