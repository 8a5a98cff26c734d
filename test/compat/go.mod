module github.com/musterhq/muster/test/compat

go 1.26.0

require (
	github.com/gitpod-io/gitpod-sdk-go v0.13.0
	github.com/musterhq/muster v0.0.0-00010101000000-000000000000
	google.golang.org/protobuf v1.36.12
)

replace github.com/musterhq/muster => ../..
