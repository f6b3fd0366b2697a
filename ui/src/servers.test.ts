// @vitest-environment node
import { expect, test } from 'vitest';
import { type Registered, rowsOf } from './servers';

const host = (nodename: string, server?: string) => ({
  metric: { instance: `${nodename}:9100`, nodename, ...(server ? { server } : {}) },
  value: 1,
  time: 0,
});
const registered = (name: string, state: Registered['state'], reason: string | null = null) => ({
  name,
  address: `root@${name}`,
  runtime: null,
  state,
  reason,
  since: 7,
});

test('one machine alone has no rows', () => {
  expect(rowsOf([host('a')], [])).toEqual([]);
});

test('this machine first, then servers by name, those out of reach among them', () => {
  const rows = rowsOf(
    [host('z'), host('vm', 'web-1'), host('vm', 'web-3')],
    [registered('web-1', 'up'), registered('web-2', 'down', 'refused'), registered('web-3', 'up')],
  );
  expect(rows.map(({ key, name, state, reason }) => [key, name, state, reason])).toEqual([
    ['z:9100', 'z', 'up', ''],
    ['vm:9100@web-1', 'web-1', 'up', ''],
    ['', 'web-2', 'down', 'refused'],
    ['vm:9100@web-3', 'web-3', 'up', ''],
  ]);
});

test('the nodes of a swarm are rows of their own, by name', () => {
  const node = (name: string) => {
    const { metric, ...rest } = host(name, 'shop');
    return { ...rest, metric: { ...metric, node: name } };
  };
  const rows = rowsOf([host('z'), node('web-2'), node('web-1')], [registered('shop', 'up')]);
  expect(rows.map(({ key, name }) => [key, name])).toEqual([
    ['z:9100', 'z'],
    ['web-1:9100@shop', 'shop / web-1'],
    ['web-2:9100@shop', 'shop / web-2'],
  ]);
});

test('a node of a swarm that is not reached has a row, while its server is', () => {
  const silent = {
    metric: { instance: 'web-2:9100', node: 'web-2', server: 'shop' },
    value: 0,
    time: 0,
  };
  const rows = (state: Registered['state']) =>
    rowsOf([host('z')], [registered('shop', state)], [silent]).map(({ name, state }) => [
      name,
      state,
    ]);
  expect(rows('up')).toContainEqual(['shop / web-2', 'down']);
  expect(rows('down')).toEqual([
    ['z', 'up'],
    ['shop', 'down'],
  ]);
});

test('a server of which nothing is known yet has a row', () => {
  expect(rowsOf([host('a')], [registered('web-1', 'connecting')])).toHaveLength(2);
});
