package sqlstore

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
)

// Runner returns a runner with its newest session.
func (r reads) Runner(ctx context.Context, runner id.Runner) (fleet.Runner, bool, error) {
	row, err := r.q.GetRunner(ctx, string(runner))
	return one(r, row, err, "reading a runner", runnerOf)
}

// DeletingRunners returns the runners whose deletion was asked for.
func (r reads) DeletingRunners(ctx context.Context) ([]fleet.Runner, error) {
	rows, err := r.q.ListDeletingRunners(ctx)
	return all(r, rows, err, "listing the runners that are being deleted", runnerOf)
}

// InsertRunner adds a runner; its session is not looked at.
func (tx *Tx) InsertRunner(ctx context.Context, r fleet.Runner) error {
	configuration, report, err := documents(r)
	if err != nil {
		return tx.explained(err, "adding a runner")
	}
	return tx.explained(tx.q.InsertRunner(ctx, query.InsertRunnerParams{
		ID:                    string(r.ID),
		OrganizationID:        string(r.Organization),
		Name:                  r.Name,
		Kind:                  int32(r.Kind),
		Provider:              int32(r.Provider),
		ManagerID:             r.ManagerID,
		CreatorPrincipal:      int32(r.Creator.Principal),
		CreatorID:             r.Creator.ID,
		Variant:               int32(r.Variant),
		DesiredPhase:          int32(r.DesiredPhase),
		Configuration:         configuration,
		ConfigurationRevision: r.ConfigurationRevision,
		PublicKey:             blob(r.PublicKey),
		PendingKey:            blob(r.PendingKey),
		Epoch:                 r.Epoch,
		Report:                report,
		ConfigSchema:          blob(r.Schema),
		StatusAt:              micros(r.StatusAt),
		CreatedAt:             micros(r.CreatedAt),
		UpdatedAt:             micros(r.UpdatedAt),
		DeletingAt:            micros(r.DeletingAt),
		Revision:              r.Revision,
	}), "adding a runner")
}

// LockRunner makes transactions that lock the same runner run one after the
// other.
func (tx *Tx) LockRunner(ctx context.Context, r id.Runner) error {
	return tx.explained(tx.q.LockRunner(ctx, string(r)), "locking a runner")
}

// UpdateRunner stores what people set when the revision is still r.Revision.
func (tx *Tx) UpdateRunner(ctx context.Context, r fleet.Runner) (bool, error) {
	tx.changed = append(tx.changed, r.ID)
	configuration, _, err := documents(r)
	if err != nil {
		return false, tx.explained(err, "changing a runner")
	}
	n, err := tx.q.UpdateRunner(ctx, query.UpdateRunnerParams{
		ID:                    string(r.ID),
		Revision:              r.Revision,
		Name:                  r.Name,
		DesiredPhase:          int32(r.DesiredPhase),
		Configuration:         configuration,
		ConfigurationRevision: r.ConfigurationRevision,
		PublicKey:             blob(r.PublicKey),
		PendingKey:            blob(r.PendingKey),
		DeletingAt:            micros(r.DeletingAt),
		UpdatedAt:             micros(r.UpdatedAt),
	})
	return n > 0, tx.explained(err, "changing a runner")
}

// LLMIntegrationsOf returns the LLM integrations of a runner.
func (tx *Tx) LLMIntegrationsOf(ctx context.Context, r id.Runner) ([]string, error) {
	rows, err := tx.q.ListLLMIntegrationIDs(ctx, string(r))
	return rows, tx.explained(err, "listing the LLM integrations of a runner")
}

// DeleteRunner removes the runner with its session.
func (tx *Tx) DeleteRunner(ctx context.Context, r id.Runner) (bool, error) {
	tx.changed = append(tx.changed, r)
	n, err := tx.q.DeleteRunner(ctx, string(r))
	return n > 0, tx.explained(err, "deleting a runner")
}

// UpdateStatus stores what the runner reports, if the epoch is still that one.
func (tx *Tx) UpdateStatus(ctx context.Context, r id.Runner, epoch int64, rep fleet.Report, schema []byte, at time.Time) (bool, error) {
	tx.changed = append(tx.changed, r)
	_, report, err := documents(fleet.Runner{Report: rep})
	if err != nil {
		return false, tx.explained(err, "storing a runner's report")
	}
	n, err := tx.q.UpdateStatus(ctx, query.UpdateStatusParams{
		ID: string(r), Epoch: epoch, Report: report, ConfigSchema: blob(schema), StatusAt: micros(at),
	})
	return n > 0, tx.explained(err, "storing a runner's report")
}

// documents are the parts of a runner that are stored as JSON.
func documents(r fleet.Runner) (configuration, report string, err error) {
	c, err := json.Marshal(r.Configuration)
	if err != nil {
		return "", "", fmt.Errorf("writing the configuration as JSON: %w", err)
	}
	rep, err := json.Marshal(r.Report)
	if err != nil {
		return "", "", fmt.Errorf("writing the report as JSON: %w", err)
	}
	return string(c), string(rep), nil
}

func runnerOf(row query.RunnerRow) (fleet.Runner, error) {
	r := fleet.Runner{
		ID:                    id.Runner(row.ID),
		Organization:          id.Organization(row.OrganizationID),
		Name:                  row.Name,
		Kind:                  fleet.Kind(row.Kind),
		Provider:              fleet.Provider(row.Provider),
		ManagerID:             row.ManagerID,
		Creator:               subject(row.CreatorPrincipal, row.CreatorID),
		Variant:               fleet.Variant(row.Variant),
		DesiredPhase:          fleet.Phase(row.DesiredPhase),
		ConfigurationRevision: row.ConfigurationRevision,
		PublicKey:             bytesOf(row.PublicKey),
		PendingKey:            bytesOf(row.PendingKey),
		Epoch:                 row.Epoch,
		Schema:                bytesOf(row.ConfigSchema),
		StatusAt:              moment(row.StatusAt),
		CreatedAt:             moment(row.CreatedAt),
		UpdatedAt:             moment(row.UpdatedAt),
		DeletingAt:            moment(row.DeletingAt),
		Revision:              row.Revision,
	}
	if err := json.Unmarshal([]byte(row.Configuration), &r.Configuration); err != nil {
		return r, fmt.Errorf("reading the configuration of runner %s: %w", row.ID, err)
	}
	if err := json.Unmarshal([]byte(row.Report), &r.Report); err != nil {
		return r, fmt.Errorf("reading the report of runner %s: %w", row.ID, err)
	}
	var err error
	if r.Grants, err = grantsOf(row.Grants); err != nil {
		return r, err
	}
	r.Session, err = sessionOf(row)
	return r, err
}

func olderRunner(a, b query.RunnerRow) int {
	return cmp.Or(cmp.Compare(a.CreatedAt, b.CreatedAt), cmp.Compare(a.ID, b.ID))
}
