// Errors: their class, their code, and how often they are asked for.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import Gitpod from '@gitpod/sdk';
import { connect, nothing, register, token, url } from './muster.mjs';

const admin = connect();
const nobody = connect({ bearerToken: '' });
const stranger = connect({ bearerToken: 'muster_pat_doesnotexist' });

for (const [name, { client, sent }, call, kind, status, code] of [
  ['no name', admin, (c) => c.runners.create({}), Gitpod.BadRequestError, 400, 'invalid_argument'],
  ['kind and provider', admin, (c) => c.runners.create({ name: 'both', kind: 'RUNNER_KIND_LOCAL', provider: 'RUNNER_PROVIDER_LINUX_HOST' }), Gitpod.BadRequestError, 400, 'invalid_argument'],
  ['an id that is no UUID', admin, (c) => c.runners.retrieve({ runnerId: 'runner-1' }), Gitpod.BadRequestError, 400, 'invalid_argument'],
  ['no token', nobody, (c) => c.runners.list({}), Gitpod.AuthenticationError, 401, 'unauthenticated'],
  ['an unknown token', stranger, (c) => c.runners.list({}), Gitpod.AuthenticationError, 401, 'unauthenticated'],
  ['no such runner', admin, (c) => c.runners.retrieve({ runnerId: nothing }), Gitpod.NotFoundError, 404, 'not_found'],
  ['delete of no such runner', admin, (c) => c.runners.delete({ runnerId: nothing }), Gitpod.NotFoundError, 404, 'not_found'],
  ['what is none of Muster’s', admin, (c) => c.accounts.retrieve({ empty: true }), Gitpod.InternalServerError, 501, 'unimplemented'],
  ['a list of what is none of Muster’s', admin, (c) => c.environments.list({}), Gitpod.InternalServerError, 501, 'unimplemented'],
]) {
  test(name, async () => {
    sent.length = 0;
    await assert.rejects(call(client), (err) => {
      assert.ok(err instanceof kind, `${err.constructor.name}: ${err.message}`);
      assert.equal(err.status, status);
      assert.equal(err.code, code);
      assert.equal(err.error.code, code);
      assert.ok(err.error.message.length >= 20, err.error.message);
      return true;
    });
    assert.equal(sent.length, 1, 'one attempt');
  });
}

test('a runner may not do what people do', async () => {
  const { exchangeToken } = await register(admin.client, 'a runner');
  const { accessToken } = await nobody.client.identity.exchangeToken({ exchangeToken });
  const runner = connect({ bearerToken: accessToken });
  await assert.rejects(register(runner.client, 'its own'), Gitpod.PermissionDeniedError);
  assert.equal(runner.sent.length, 1);
});

test('base URLs in every form', async () => {
  for (const baseURL of [url, `${url}/`, `${url}/api`, `${url}/api/`]) {
    const { client, sent } = connect({ baseURL });
    assert.ok((await client.runners.list({ pageSize: 1 })).runners);
    assert.equal(sent.length, 1, baseURL);
  }
  process.env.GITPOD_BASE_URL = `${url}/api`;
  process.env.GITPOD_API_KEY = token;
  assert.ok((await new Gitpod().runners.list({})).runners);
});
