// What the tests share: clients that show what they send, runners, watchers.
// The Go test that starts them says where the control plane is.

import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import assert from 'node:assert/strict';
import Gitpod from '@gitpod/sdk';

export const url = process.env.MUSTER_TEST_URL;
export const token = process.env.MUSTER_TEST_TOKEN;
const binary = process.env.MUSTER_TEST_BINARY;
assert.ok(url && token && binary, 'start these tests with "go test" in the folder above');

/** An id that nothing has. */
export const nothing = 'd2c94c27-3b76-4a42-b88c-95a85e392c68';

/** Makes a client; sent collects its requests and how they were answered. */
export function connect(options = {}) {
  const sent = [];
  const client = new Gitpod({
    baseURL: `${url}/api`,
    bearerToken: token,
    fetch: async (address, init) => {
      const response = await fetch(address, init);
      const { pathname, searchParams } = new URL(address);
      sent.push({ path: pathname, query: searchParams, body: init.body, headers: new Headers(init.headers), status: response.status, reply: response.headers });
      return response;
    },
    ...options,
  });
  return { client, sent };
}

/** Registers a runner on a Linux host. */
export function register(client, name) {
  return client.runners.create({ name, provider: 'RUNNER_PROVIDER_LINUX_HOST' });
}

/** Makes a directory that goes when the test does. */
export async function directory(t) {
  const dir = await mkdtemp(join(tmpdir(), 'muster-js-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

/** Starts a runner on this host and waits for its link; stop() ends it in an orderly way. */
export async function startRunner(t, dataDir, exchangeToken) {
  const args = ['join', '--server', url, '--data-dir', dataDir];
  if (exchangeToken) args.push('--exchange-token', exchangeToken);
  const child = spawn(binary, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  const connected = new Promise((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        said += chunk;
        if (said.includes('connected to http')) resolve();
      });
    }
  });
  const ended = new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal })));
  const stop = async () => {
    child.kill('SIGTERM');
    return ended;
  };
  ended.then(({ code, signal }) => {
    if (code !== 0) console.error(`muster join ended with ${signal ?? code} and said:\n${said}`);
  });
  t.after(stop);
  await Promise.race([connected, ended.then(() => assert.fail(`muster join ended: ${said}`))]);
  return { stop };
}

/** Watches events; when it resolves, the subscription stands. */
export async function watch(t, client, body = { organization: true }) {
  const stream = await client.events.watch(body);
  t.after(() => stream.controller.abort());
  const events = stream[Symbol.asyncIterator]();
  /** Returns the next event that is about anything. */
  const next = async () => {
    for (;;) {
      const { value, done } = await events.next();
      assert.ok(!done, 'the stream ended');
      if (value.resourceId) return value;
    }
  };
  /** Skips events until one of that operation on that runner. */
  const awaited = async (operation, resourceId) => {
    for (;;) {
      const event = await next();
      if (event.operation === operation && event.resourceId === resourceId) return event;
    }
  };
  /** Waits for a runner to come into a phase, driven by events. */
  const phase = async (runnerId, wanted) => {
    for (;;) {
      const { runner } = await client.runners.retrieve({ runnerId });
      if (runner.status.phase === wanted) return runner;
      await awaited('RESOURCE_OPERATION_UPDATE_STATUS', runnerId);
    }
  };
  return { next, awaited, phase };
}
