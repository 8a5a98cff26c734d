package gitpodv1

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/fault"
)

func TestTheTimesOfAnAuditQueryAreRoundedInwards(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 1500, time.UTC)
	q, err := auditQuery(&gitpodv1.ListAuditLogsRequest{Filter: &gitpodv1.ListAuditLogsRequest_Filter{From: timestamppb.New(at), To: timestamppb.New(at)}})
	if err != nil || q.From.Nanosecond() != 2000 || q.To.Nanosecond() != 1000 {
		t.Errorf("from %v to %v, %v", q.From, q.To, err)
	}
	whole := at.Truncate(time.Microsecond)
	q, err = auditQuery(&gitpodv1.ListAuditLogsRequest{Filter: &gitpodv1.ListAuditLogsRequest_Filter{From: timestamppb.New(whole), To: timestamppb.New(time.Time{})}})
	if err != nil || !q.From.Equal(whole) || q.To.IsZero() {
		t.Errorf("from %v to %v, %v", q.From, q.To, err)
	}
	if q, err = auditQuery(&gitpodv1.ListAuditLogsRequest{}); err != nil || !q.From.IsZero() || !q.To.IsZero() || q.OldestFirst {
		t.Errorf("without a filter: %+v, %v", q, err)
	}
}

func TestTheOrderOfAnAuditQuery(t *testing.T) {
	for field, good := range map[string]bool{"": true, "created_at": true, "createdAt": true, "action": false} {
		q, err := auditQuery(&gitpodv1.ListAuditLogsRequest{Sort: &gitpodv1.Sort{Field: field, Order: gitpodv1.SortOrder_SORT_ORDER_ASC}})
		if good && (err != nil || !q.OldestFirst) || !good && !fault.Is(err, fault.InvalidArgument) {
			t.Errorf("%q: %+v, %v", field, q, err)
		}
	}
	if _, err := auditQuery(&gitpodv1.ListAuditLogsRequest{Filter: &gitpodv1.ListAuditLogsRequest_Filter{To: &timestamppb.Timestamp{Nanos: -1}}}); !fault.Is(err, fault.InvalidArgument) {
		t.Errorf("a bad time: %v", err)
	}
}
