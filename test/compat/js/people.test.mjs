// Who one is, the organization, and personal access tokens.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import Gitpod from '@gitpod/sdk';
import { connect } from './muster.mjs';

const { client } = connect();
const me = await client.identity.getAuthenticatedIdentity({});

async function collect(list) {
  const items = [];
  for await (const item of list) items.push(item);
  return items;
}

test('identity, user, organization, members', async () => {
  assert.equal(me.subject.principal, 'PRINCIPAL_USER');
  const { user } = await client.users.getAuthenticatedUser({ empty: true });
  assert.equal(user.id, me.subject.id);
  assert.equal(user.status, 'USER_STATUS_ACTIVE');
  const { organizationId } = me;
  const { organization } = await client.organizations.retrieve({ organizationId });
  assert.equal(organization.id, organizationId);
  assert.ok(organization.name && organization.tier);
  for (const params of [{ organizationId }, { organizationId, pageSize: 1 }, { organizationId, pagination: { pageSize: 1 } }]) {
    const members = await collect(client.organizations.listMembers(params));
    assert.deepEqual(members.map((m) => [m.userId, m.role, m.status]), [[user.id, 'ORGANIZATION_ROLE_ADMIN', 'USER_STATUS_ACTIVE']]);
    assert.ok(members[0].fullName && members[0].email && members[0].loginProvider && members[0].memberSince);
  }
});

test('gateways', async () => {
  for (const params of [{}, { pageSize: 1 }, { pagination: { pageSize: 1 } }]) {
    const gateways = await collect(client.gateways.list(params));
    assert.deepEqual(gateways.map((g) => g.name), ['east', 'west']);
  }
});

test('personal access tokens', async () => {
  const secrets = [];
  for (const description of ['first', 'second']) {
    const { token } = await client.post('/gitpod.v1.UserService/CreatePersonalAccessToken', {
      body: { userId: me.subject.id, description, validFor: '3600s' },
    });
    secrets.push(token);
  }
  const filter = { userIds: [me.subject.id] };
  for (const params of [{ filter }, { filter, pageSize: 1 }, { filter, pagination: { pageSize: 1 } }]) {
    const pats = await collect(client.users.pats.list(params));
    assert.equal(pats.length, 3);
    assert.ok(!secrets.some((s) => JSON.stringify(pats).includes(s)));
  }
  const [pat] = (await collect(client.users.pats.list({ filter }))).filter((p) => p.description === 'first');
  const { pat: again } = await client.users.pats.get({ personalAccessTokenId: pat.id });
  assert.equal(again.description, 'first');
  const holder = connect({ bearerToken: secrets[0] });
  await holder.client.runners.list({});
  assert.deepEqual(await client.users.pats.delete({ personalAccessTokenId: pat.id }), {});
  await assert.rejects(holder.client.runners.list({}), Gitpod.AuthenticationError);
  await assert.rejects(client.users.pats.get({ personalAccessTokenId: pat.id }), Gitpod.NotFoundError);
});
