// State timeline and heatmap: their panels are not in Grafana's packages, so they are drawn here, as plain as can be.
import { type DataFrame, getFieldDisplayName, getValueFormat, formattedValueToString, type GrafanaTheme2 } from '@grafana/data';
import React from 'react';

import { times, type Picture } from './frames';

interface Drawing {
  picture: Picture;
  panel: any;
  data: DataFrame[];
  theme: GrafanaTheme2;
  width: number;
  height: number;
}

const BELOW = 24;
const LEGEND = 22;

/** A row for each series, with a bar for as long as it has a value. */
export function States({ picture, data, theme, width, height }: Drawing) {
  const left = 130;
  const row = (height - BELOW) / data.length;
  const step = (width - left) / (picture.count - 1);
  return (
    <svg width={width} height={height} fontSize={12} fill={theme.colors.text.primary}>
      {data.map((frame, index) => {
        const field = frame.fields[1];
        const colour = theme.visualization.getColorByName(field.config.color?.fixedColor ?? 'grey');
        return (
          <g key={index} transform={`translate(0 ${index * row})`}>
            <text x={left - 8} y={row / 2 + 4} textAnchor="end">
              {getFieldDisplayName(field, frame, data)}
            </text>
            {runs(field.values).map(([from, to]) => (
              <rect key={from} x={left + from * step} width={(to - from) * step} y={row * 0.05} height={row * 0.9} fill={colour} />
            ))}
          </g>
        );
      })}
      <Clock picture={picture} theme={theme} left={left} width={width} height={height} />
    </svg>
  );
}

/** Stretches of steps that have a value: first, and the one after the last. */
function runs(values: Array<number | null>): Array<[number, number]> {
  const found: Array<[number, number]> = [];
  values.forEach((value, index) => {
    const last = found.at(-1);
    if (value === null) {
      return;
    }
    if (last && last[1] === index) {
      last[1] = index + 1;
    } else {
      found.push([index, index + 1]);
    }
  });
  return found.map(([from, to]) => [from, Math.min(to, values.length - 1)]);
}

/** Counts between two bounds of a histogram, the darker the more. */
export function Heatmap({ picture, panel, data, theme, width, height }: Drawing) {
  const left = 60;
  const buckets = apart(data);
  const most = Math.max(...buckets.flatMap((bucket) => bucket.counts));
  const row = (height - BELOW - LEGEND) / buckets.length;
  const step = (width - left) / (picture.count - 1);
  const colour = theme.visualization.getColorByName('orange');
  return (
    <svg width={width} height={height} fontSize={12} fill={theme.colors.text.primary}>
      {buckets.map((bucket, index) => {
        const y = height - BELOW - LEGEND - (index + 1) * row;
        return (
          <g key={bucket.name}>
            <text x={left - 8} y={y + 10} textAnchor="end">
              {axis(panel, bucket.bound)}
            </text>
            {bucket.counts.map((count, at) =>
              count > 0 ? (
                <rect key={at} x={left + at * step} width={step} y={y} height={row - 1} fill={colour} opacity={0.15 + (0.85 * count) / most} />
              ) : null
            )}
          </g>
        );
      })}
      <Clock picture={picture} theme={theme} left={left} width={width} height={height - LEGEND} />
      <text x={left} y={height - 6}>
        darkest: {most.toFixed(1)} tasks
      </text>
    </svg>
  );
}

const axis = (panel: any, bound: number): string =>
  Number.isFinite(bound) ? formattedValueToString(getValueFormat(panel.options.yAxis.unit)(bound)) : 'more';

/** What each bucket has by itself: Prometheus counts those below it too. Those above the last one in use are left out. */
function apart(data: DataFrame[]) {
  const sorted = data
    .map((frame) => ({ name: frame.fields[1].labels?.le ?? '', values: frame.fields[1].values as Array<number | null> }))
    .map((one) => ({ ...one, bound: one.name === '+Inf' ? Infinity : Number(one.name) }))
    .sort((one, other) => one.bound - other.bound);
  const each = sorted.map((one, index) => ({
    ...one,
    counts: one.values.map((value, at) => Math.max(0, (value ?? 0) - (sorted[index - 1]?.values[at] ?? 0))),
  }));
  const used = each.map((one) => one.counts.some((count) => count > 0));
  return each.slice(Math.max(0, used.indexOf(true) - 1), used.lastIndexOf(true) + 2);
}

function Clock({ picture, theme, left, width, height }: Omit<Drawing, 'panel' | 'data'> & { left: number }) {
  const all = times(picture);
  const [first, last] = [all[0], all[all.length - 1]];
  const minute = 60_000;
  const every = minute * [1, 2, 5, 10, 15, 30, 60].find((one) => (last - first) / (one * minute) <= width / 120)!;
  const marks = [];
  for (let at = Math.ceil(first / every) * every; at <= last; at += every) {
    marks.push(at);
  }
  return (
    <g fill={theme.colors.text.secondary}>
      {marks.map((at) => (
        <text key={at} x={left + ((at - first) / (last - first)) * (width - left)} y={height - 6} textAnchor="middle">
          {new Date(at).toISOString().slice(11, 16)}
        </text>
      ))}
    </g>
  );
}
