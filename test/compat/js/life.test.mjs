// The life of a runner, from its registration to its end.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import Gitpod from '@gitpod/sdk';
import { connect, directory, register, startRunner, token, watch } from './muster.mjs';

const { client, sent } = connect();

test('every example of the documentation is registered as it is written', async () => {
  const examples = [
    {
      name: 'Production Runner',
      provider: 'RUNNER_PROVIDER_AWS_EC2',
      spec: {
        desiredPhase: 'RUNNER_PHASE_ACTIVE',
        configuration: { region: 'us-west', releaseChannel: 'RUNNER_RELEASE_CHANNEL_STABLE', autoUpdate: true },
      },
    },
    {
      name: 'Local Development Runner',
      provider: 'RUNNER_PROVIDER_LINUX_HOST',
      spec: {
        desiredPhase: 'RUNNER_PHASE_ACTIVE',
        configuration: { releaseChannel: 'RUNNER_RELEASE_CHANNEL_LATEST', autoUpdate: true },
      },
    },
  ];
  const { subject } = await client.identity.getAuthenticatedIdentity({ empty: true });
  for (const example of examples) {
    const { runner, exchangeToken } = await client.runners.create(example);
    assert.ok(exchangeToken);
    assert.equal(runner.name, example.name);
    assert.equal(runner.provider, example.provider);
    assert.equal(runner.kind, example.provider.endsWith('EC2') ? 'RUNNER_KIND_REMOTE' : 'RUNNER_KIND_LOCAL');
    assert.equal(runner.creator.id, subject.id);
    assert.equal(runner.status.phase, 'RUNNER_PHASE_CREATED');
    assert.equal(runner.spec.desiredPhase, example.spec.desiredPhase);
    assert.equal(new Date(runner.createdAt).getTime(), new Date(runner.updatedAt).getTime());
    for (const [key, value] of Object.entries(example.spec.configuration)) assert.equal(runner.spec.configuration[key], value);
    assert.ok(!('updateWindow' in runner.spec.configuration) && !('metrics' in runner.spec.configuration), 'nothing is made up');
    const { runner: again } = await client.runners.retrieve({ runnerId: runner.runnerId });
    assert.deepEqual(again, runner);
    const page = await client.runners.list({});
    assert.equal(page.runners.at(-1).runnerId, runner.runnerId);
  }
});

test('an update changes what it names', async () => {
  const { runner: before } = await client.runners.create({
    name: 'before',
    provider: 'RUNNER_PROVIDER_AWS_EC2',
    spec: { configuration: { region: 'us-west', autoUpdate: true, logLevel: 'LOG_LEVEL_INFO' } },
  });
  const { runnerId } = before;
  const update = async (change) => {
    assert.deepEqual(await client.runners.update({ runnerId, ...change }), {});
    return (await client.runners.retrieve({ runnerId })).runner;
  };
  let runner = await update({ name: 'after' });
  assert.equal(runner.name, 'after');
  assert.deepEqual(runner.spec, before.spec);
  assert.notEqual(runner.updatedAt, before.updatedAt);
  assert.equal(runner.createdAt, before.createdAt);

  runner = await update({ name: null, spec: null });
  assert.equal(runner.name, 'after');
  assert.deepEqual(runner.spec, before.spec);

  runner = await update({ spec: { configuration: { autoUpdate: false, logLevel: null, releaseChannel: 'RUNNER_RELEASE_CHANNEL_LATEST', metrics: null }, desiredPhase: null } });
  const { autoUpdate, ...others } = runner.spec.configuration; // false may be left out
  assert.ok(!autoUpdate);
  assert.deepEqual(others, { region: 'us-west', logLevel: 'LOG_LEVEL_INFO', releaseChannel: 'RUNNER_RELEASE_CHANNEL_LATEST' });

  runner = await update({ spec: { configuration: { metrics: { enabled: true, url: 'https://metrics.example.com', username: 'user', password: 'in-clear' } } } });
  assert.equal(runner.spec.configuration.metrics.url, 'https://metrics.example.com');
  assert.ok(!JSON.stringify(runner).includes('in-clear'));
  runner = await update({ spec: { configuration: { metrics: { username: 'other' } } } });
  assert.equal(runner.spec.configuration.metrics.username, 'other');
  assert.equal(runner.spec.configuration.metrics.enabled, true);
});

test('a runner comes, goes, comes back and is deleted', async (t) => {
  const events = await watch(t, client);
  const { runner: created, exchangeToken } = await register(client, 'host');
  const { runnerId } = created;
  await events.awaited('RESOURCE_OPERATION_CREATE', runnerId);

  const dataDir = await directory(t);
  const host = await startRunner(t, dataDir, exchangeToken);
  const active = await events.phase(runnerId, 'RUNNER_PHASE_ACTIVE');
  assert.equal(Buffer.from(active.status.publicKey, 'base64').length, 32);
  assert.ok(active.status.version && active.status.systemDetails && active.status.logUrl);

  await client.runners.update({ runnerId, spec: { configuration: { logLevel: 'LOG_LEVEL_DEBUG' } } });
  await events.awaited('RESOURCE_OPERATION_UPDATE', runnerId);

  assert.deepEqual(await host.stop(), { code: 0, signal: null });
  const inactive = await events.phase(runnerId, 'RUNNER_PHASE_INACTIVE');
  assert.ok(inactive.status.message);

  await startRunner(t, dataDir);
  const back = await events.phase(runnerId, 'RUNNER_PHASE_ACTIVE');
  assert.equal(back.status.publicKey, active.status.publicKey);

  assert.deepEqual(await client.runners.delete({ runnerId }), {});
  await events.awaited('RESOURCE_OPERATION_DELETE', runnerId);
  await assert.rejects(client.runners.retrieve({ runnerId }), Gitpod.NotFoundError);
  sent.length = 0;
  await assert.rejects(client.runners.delete({ runnerId }), Gitpod.NotFoundError);
  assert.equal(sent.length, 1);
});

test('exchange tokens work once each', async () => {
  const { runner, exchangeToken } = await register(client, 'tokens');
  const { runnerId } = runner;
  const { exchangeToken: second } = await client.runners.createRunnerToken({ runnerId });
  assert.ok(second && second !== exchangeToken);
  const { client: anybody } = connect({ bearerToken: '' });
  for (const one of [exchangeToken, second]) {
    const { accessToken } = await anybody.identity.exchangeToken({ exchangeToken: one });
    await assert.rejects(anybody.identity.exchangeToken({ exchangeToken: one }), Gitpod.AuthenticationError);
    const { client: itself } = connect({ bearerToken: accessToken });
    const { subject } = await itself.identity.getAuthenticatedIdentity({});
    assert.deepEqual(subject, { id: runnerId, principal: 'PRINCIPAL_RUNNER' });
  }
  assert.notEqual(token, exchangeToken);
});
