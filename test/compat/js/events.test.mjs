// The event stream.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import Gitpod from '@gitpod/sdk';
import { connect, nothing, register, watch } from './muster.mjs';

const { client, sent } = connect();

async function change(name) {
  const { runner } = await register(client, name);
  await client.runners.update({ runnerId: runner.runnerId, name: 'renamed' });
  await client.runners.delete({ runnerId: runner.runnerId });
  return runner.runnerId;
}

const event = (operation, resourceId) => ({ operation: `RESOURCE_OPERATION_${operation}`, resourceType: 'RESOURCE_TYPE_RUNNER', resourceId });

for (const body of [{ organization: true }, {}, { resourceTypeFilters: [] }]) {
  test(`changes arrive in order, watching ${JSON.stringify(body)}`, async (t) => {
    const events = await watch(t, client, body);
    assert.equal(sent.at(-1).headers.get('content-type'), 'application/jsonl');
    assert.equal(sent.at(-1).reply.get('content-type'), 'application/jsonl');
    const id = await change('watched');
    for (const operation of ['CREATE', 'UPDATE', 'DELETE']) assert.deepEqual(await events.next(), event(operation, id));
  });
}

test('filters', async (t) => {
  const { runner } = await register(client, 'filtered');
  const one = await watch(t, client, { resourceTypeFilters: [{ resourceType: 'RESOURCE_TYPE_RUNNER', resourceIds: [runner.runnerId] }] });
  const ofNobody = await watch(t, client, { resourceTypeFilters: [{ resourceType: 'RESOURCE_TYPE_RUNNER', creatorIds: [nothing] }] });
  const other = await change('another');
  await client.runners.delete({ runnerId: runner.runnerId });
  assert.deepEqual(await one.next(), event('DELETE', runner.runnerId));
  assert.deepEqual(await ofNobody.next(), event('DELETE', other));
});

test('a watcher may go at any time', async () => {
  const stream = await client.events.watch({ organization: true });
  const id = await change('seen once');
  for await (const e of stream) {
    assert.deepEqual(e, event('CREATE', id));
    break;
  }
});

test('what is wrong is said before the stream begins', async () => {
  sent.length = 0;
  await assert.rejects(client.events.watch({ environmentId: nothing, resourceTypeFilters: [{ resourceType: 'RESOURCE_TYPE_RUNNER' }] }), Gitpod.BadRequestError);
  await assert.rejects(client.events.watch({ environmentId: nothing }), Gitpod.NotFoundError);
  assert.equal(sent.length, 2);
  await assert.rejects(connect({ bearerToken: 'nobody' }).client.events.watch({}), Gitpod.AuthenticationError);
});
