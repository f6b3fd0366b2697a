// @vitest-environment node
import { expect, test } from 'vitest';
import {
  firstPointsIn,
  hostname,
  hosts,
  instance,
  interval,
  isLocal,
  shownName,
  startTime,
} from './server';
import { chooseStep, rateWindow } from './time';
import { route } from './url';

const host = (name: string) => ({
  metric: { instance: `${name}:9100`, nodename: name },
  value: 1,
  time: 0,
});
const show = (text: string): void => {
  route.value = { path: '/', params: new URLSearchParams(text) };
};

test.each<[string, string[], string, string, boolean]>([
  ['one host needs no choice', ['a'], '', '', true],
  ['the first of two is shown', ['a', 'b'], '', 'a:9100', true],
  ['the URL chooses', ['a', 'b'], 'server=b:9100', 'b:9100', false],
  ['an unknown one falls back to the first', ['a', 'b'], 'server=x:9100', 'a:9100', true],
  ['before hosts are known the URL is believed', [], 'server=b:9100', 'b:9100', true],
])('%s', (_, names, url, want, local) => {
  hostname.value = 'a';
  hosts.value = names.map(host);
  show(url);
  expect(instance.value).toBe(want);
  expect(isLocal.value).toBe(local);
});

test('a host on a registered server is none of this machine, whatever its name', () => {
  hostname.value = 'vm';
  const local = host('vm');
  hosts.value = [local, { ...local, metric: { ...local.metric, server: 'web-1' } }];
  show('');
  expect([instance.value, isLocal.value]).toEqual(['vm:9100', true]);
  show('server=vm:9100@web-1');
  expect([instance.value, isLocal.value]).toEqual(['vm:9100@web-1', false]);
});

test('of a server that is not heard of just now no other machine is shown', () => {
  hostname.value = 'vm';
  hosts.value = [host('vm')];
  show('server=vm:9100@web-1');
  expect([instance.value, isLocal.value, shownName.value]).toEqual([
    'vm:9100@web-1',
    false,
    'web-1',
  ]);
  hosts.value = [];
  expect(isLocal.value).toBe(false);
});

test('steps, rates and the first points follow the interval that the server tells', () => {
  interval.value = 60;
  startTime.value = 1000;
  expect(firstPointsIn(1000)).toBe(62);
  expect(chooseStep(300, 900, 60)).toBe(60);
  expect(chooseStep(300, 900, 5)).toBe(5);
  expect(rateWindow(60, 60)).toBe(240);
  interval.value = 15;
});
