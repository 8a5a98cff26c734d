package rpc

import (
	"net/url"
	"strconv"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/musterhq/muster/internal/fault"
)

// The older SDKs ask for the next page in the query string of the POST, and
// send the body of the first page again, old token included. So what the query
// says wins over the body.

// pageQuery is the paging in a query string; zero values are absent.
type pageQuery struct {
	token string
	size  int32
}

func parsePageQuery(raw string) (pageQuery, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return pageQuery{}, fault.New(fault.InvalidArgument, fault.InvalidField,
			"The query string of the request is malformed. Escape the values of \"token\" and \"pageSize\" as in URLs.")
	}
	q := pageQuery{token: values.Get("token")}
	if size := values.Get("pageSize"); size != "" {
		n, err := strconv.ParseInt(size, 10, 32)
		if err != nil {
			return pageQuery{}, fault.Invalid(sizePath, "pageSize in the query string must be a number")
		}
		q.size = int32(n)
	}
	return q, nil
}

const (
	pagingField = "pagination"
	sizePath    = "pagination.page_size"
)

// paging are the fields of a List request that page it.
type paging struct {
	pagination, token, size protoreflect.FieldDescriptor
}

// pagingOf returns nil for a request that is not paged.
func pagingOf(request protoreflect.MessageDescriptor) *paging {
	f := request.Fields().ByName(pagingField)
	if f == nil || f.Message() == nil {
		return nil
	}
	p := &paging{pagination: f, token: f.Message().Fields().ByName("token"), size: f.Message().Fields().ByName("page_size")}
	if p.token == nil || p.size == nil {
		return nil
	}
	return p
}

// apply overrides the paging of a request by what the query string says.
func (p *paging) apply(request proto.Message, q pageQuery) {
	if q == (pageQuery{}) {
		return
	}
	m := request.ProtoReflect().Mutable(p.pagination).Message()
	if q.token != "" {
		m.Set(p.token, protoreflect.ValueOfString(q.token))
	}
	if q.size != 0 {
		m.Set(p.size, protoreflect.ValueOfInt32(q.size))
	}
}

// replyPaging returns the pagination field of a List reply, which clients expect
// to be there on the last page too; nil for other replies.
func replyPaging(reply protoreflect.MessageDescriptor) protoreflect.FieldDescriptor {
	if f := reply.Fields().ByName(pagingField); f != nil && f.Message() != nil && !f.IsList() {
		return f
	}
	return nil
}

func fillPaging(reply proto.Message, f protoreflect.FieldDescriptor) {
	if m := reply.ProtoReflect(); !m.Has(f) {
		m.Set(f, m.NewField(f))
	}
}
