// The event stream.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import Gitpod from '@gitpod/sdk';
import { connect, nothing, register, watch } from './muster.mjs';

const { client, sent } = connect();

const event = (operation, resourceId) => ({ operation: `RESOURCE_OPERATION_${operation}`, resourceType: 'RESOURCE_TYPE_RUNNER', resourceId });

for (const body of [{ organization: true }, {}, { resourceTypeFilters: [] }]) {
  test(`changes arrive in order, watching ${JSON.stringify(body)}`, async (t) => {
    const events = await watch(t, client, body);
    assert.equal(sent.at(-1).headers.get('content-type'), 'application/jsonl');
    assert.equal(sent.at(-1).reply.get('content-type'), 'application/jsonl');
    const { runnerId } = (await register(client, 'watched')).runner;
    assert.deepEqual(await events.next(), event('CREATE', runnerId));
    await client.runners.update({ runnerId, name: 'renamed' });
    assert.deepEqual(await events.next(), event('UPDATE', runnerId));
    await client.runners.delete({ runnerId });
    assert.deepEqual(await events.next(), event('DELETE', runnerId));
  });
}

test('filters', async (t) => {
  const { runner } = await register(client, 'filtered');
  const one = await watch(t, client, { resourceTypeFilters: [{ resourceType: 'RESOURCE_TYPE_RUNNER', resourceIds: [runner.runnerId] }] });
  const ofNobody = await watch(t, client, { resourceTypeFilters: [{ resourceType: 'RESOURCE_TYPE_RUNNER', creatorIds: [nothing] }] });
  const { runner: other } = await register(client, 'another');
  await client.runners.delete({ runnerId: other.runnerId });
  await client.runners.delete({ runnerId: runner.runnerId });
  assert.deepEqual(await one.next(), event('DELETE', runner.runnerId));
  assert.deepEqual(await ofNobody.next(), event('DELETE', other.runnerId));
});

test('a watcher may go at any time', async () => {
  const stream = await client.events.watch({ organization: true });
  const { runner } = await register(client, 'seen once');
  for await (const e of stream) {
    assert.deepEqual(e, event('CREATE', runner.runnerId));
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
