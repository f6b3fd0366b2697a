/** The containers of an app: those that make it up now, and those that earlier deploys left behind. */

import { now } from '../api';
import type { Container } from '../containers';
import { reading } from '../readings';
import { moment, spell } from '../time';
import { format } from '../units';
import { age, appHref, cores, Memory, State } from './cells';
import { EMPTY, sumReading } from './figures';
import { type AppRow, containerState } from './rows';

export function ContainersTable({ row }: { row: AppRow }) {
  const all = [...row.containers, ...row.past];
  const present = reading.value
    ? sumReading(reading.value.containers, (c) => c.name)
    : new Map<string, never>();
  return (
    <section class="panel sheet span-12 containers" aria-label="Containers">
      <h2>Containers</h2>
      <table>
        <thead>
          <tr>
            <th scope="col">Container</th>
            <th scope="col">State</th>
            <th scope="col" class="figure">
              CPU now
            </th>
            <th scope="col" class="figure">
              Memory now
            </th>
            <th scope="col" class="figure extra">
              Restarts
            </th>
            <th scope="col" class="figure extra">
              OOM
            </th>
            <th scope="col" class="extra">
              Exit code
            </th>
            <th scope="col" class="figure">
              Age
            </th>
          </tr>
        </thead>
        <tbody>
          {all.map((container) => {
            const used = present.get(container.name) ?? EMPTY;
            return (
              <tr key={container.id} class={row.past.includes(container) ? 'past' : ''}>
                <th scope="row">
                  <a class="strong" href={appHref(row.app, container.name)}>
                    {container.name}
                  </a>{' '}
                  <code class="quiet" title={container.id}>
                    {shortId(container.id)}
                  </code>
                  <span class="quiet image">{container.image}</span>
                </th>
                <td>
                  <State {...containerState(container)} />
                  {container.health && container.health !== 'unhealthy' && (
                    <span class="quiet sub">{container.state}</span>
                  )}
                </td>
                <td class="figure">{cores(used.cpu)}</td>
                <td class="figure memory">
                  <Memory used={used.memory} limit={used.limit} />
                </td>
                <td class="figure extra">{container.restarts}</td>
                <td class={`figure extra ${container.oomKills > 0 ? 'wrong' : ''}`}>
                  {container.oomKills}
                </td>
                <td class="extra">{exitOf(container)}</td>
                <td class="figure" title={container.createdAt ? moment(container.createdAt) : ''}>
                  {container.createdAt ? age(now() - container.createdAt) : '–'}
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </section>
  );
}

/** The id that `docker ps` shows; on another host it is the end of a cgroup's path. */
function shortId(id: string): string {
  return (id.split('/').pop() ?? id).replace(/^docker-/, '').slice(0, 12);
}

function exitOf(container: Container): string {
  if (container.state === 'running' || container.exitCode === null) return '–';
  const when = container.finishedAt ? `, ${spell(now() - container.finishedAt)} ago` : '';
  return `${container.exitCode}${when}`;
}

/** What the engine says besides figures: image and labels. */
export function Facts({ row }: { row: AppRow }) {
  const first = row.containers[0];
  const labels = Object.entries(first?.labels ?? {}).sort(([a], [b]) => a.localeCompare(b));
  const images = [...new Set(row.containers.map((c) => c.image))];
  const plain: [string, string][] = [
    ['Image', images.join(', ')],
    ['Project', row.project || 'none'],
    ['Containers', `${row.containers.length} now, ${row.past.length} from earlier deploys`],
    [
      'Last deploy',
      row.since ? `${moment(row.since)}, ${spell(now() - row.since)} ago` : 'unknown',
    ],
  ];
  return (
    <section class="panel sheet span-12 facts" aria-label="Image and labels">
      <h2>Image and labels</h2>
      <table>
        <colgroup>
          <col class="names" />
          <col />
        </colgroup>
        <tbody>
          {[...plain, ...labels].map(([name, value]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td>{value}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p class="quiet hint">
        Labels are those that masthead.yml allows (masthead: containers: labels); others may hold
        secrets. Memory limits: {limitsOf(row)}.
      </p>
    </section>
  );
}

function limitsOf(row: AppRow): string {
  const known = (reading.value?.containers ?? []).filter((c) => c.app === row.app);
  if (known.length === 0) return 'see the chart';
  const limits = known.map((c) => c.memoryLimitBytes).filter((n): n is number => n !== null);
  return limits.length === 0 ? 'none' : limits.map((n) => format(n, 'bytes')).join(', ');
}
