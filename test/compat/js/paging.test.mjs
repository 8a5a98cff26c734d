// Lists: auto-paging over 60 runners in every style, and filters.

import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import Gitpod from '@gitpod/sdk';
import { connect, nothing, register } from './muster.mjs';

const { client, sent } = connect();
const ids = [];

before(async () => {
  assert.deepEqual((await client.runners.list({})).runners, []);
  for (let i = 0; i < 60; i++) {
    const provider = i % 4 ? 'RUNNER_PROVIDER_LINUX_HOST' : 'RUNNER_PROVIDER_AWS_EC2';
    ids.push((await client.runners.create({ name: `runner ${i}`, provider })).runner.runnerId);
  }
});

async function all(params) {
  const got = [];
  for await (const runner of client.runners.list(params)) {
    got.push(runner.runnerId);
    assert.ok(got.length <= 2 * ids.length, 'paging does not end');
  }
  return got;
}

for (const [name, params, pages] of [
  ['nothing given', {}, 3],
  ['by the body', { pagination: { pageSize: 7 } }, 9],
  ['by the query', { pageSize: 7 }, 9],
  ['by both', { pageSize: 20, pagination: { pageSize: 7 } }, 3],
  ['on one page', { pageSize: 100 }, 1],
  ['with nulls', { token: null, filter: null, pagination: null }, 3],
]) {
  test(`auto-paging ${name} brings each runner once`, async () => {
    sent.length = 0;
    assert.deepEqual(await all(params), ids);
    assert.equal(sent.length, pages);
    assert.ok(sent.every((x) => x.body === sent[0].body && x.headers.get('content-type') === 'application/json'));
  });
}

test('tokens by hand', async () => {
  const list = async (params) => (await client.runners.list(params)).runners.map((r) => r.runnerId);
  const page = await client.runners.list({ pagination: { pageSize: 10 } });
  const { nextToken: token } = page.pagination;
  assert.ok(page.hasNextPage());
  assert.deepEqual(await list({ pagination: { pageSize: 10, token } }), ids.slice(10, 20));
  assert.deepEqual(await list({ pageSize: 10, token }), ids.slice(10, 20));
  assert.deepEqual(await all({ pagination: { pageSize: 10, token } }), ids.slice(10));
  const rest = await page.getNextPage();
  assert.deepEqual(await list({ token: rest.pagination.nextToken, pagination: { pageSize: 10, token } }), ids.slice(20, 30));
  assert.ok(!(await client.runners.list({ pageSize: 60 })).hasNextPage());
});

test('filters', async () => {
  const aws = ids.filter((_, i) => i % 4 === 0);
  assert.deepEqual(await all({ filter: { providers: ['RUNNER_PROVIDER_AWS_EC2'] }, pagination: { pageSize: 4 } }), aws);
  assert.deepEqual(await all({ filter: { kinds: ['RUNNER_KIND_REMOTE'] }, pageSize: 4 }), aws);
  assert.deepEqual(await all({ filter: { creatorIds: [nothing] } }), []);
  assert.deepEqual(await all({ filter: { creatorIds: [], kinds: [], providers: [] } }), ids);
  for (const params of [{ pageSize: 101 }, { token: 'garbage' }, { filter: { kinds: ['TEAPOT'] } }, { filter: { creatorIds: ['me'] } }]) {
    await assert.rejects(all(params), Gitpod.BadRequestError);
  }
});

test('a runner that was just made is listed', async () => {
  const { runner } = await register(client, 'late');
  assert.equal((await all({})).at(-1), runner.runnerId);
});
