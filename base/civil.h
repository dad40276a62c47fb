/* civil.h: days since 1970-01-01 and dates of the Gregorian calendar, each from the other.
 * Source: H. Hinnant, "chrono-compatible low-level date algorithms". */
#ifndef NX_CIVIL_H
#define NX_CIVIL_H
#include <stdint.h>

typedef struct nx_civil {
    int64_t year;
    int month, day; /* from 1 */
} nx_civil;

static inline int64_t nx_floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); } /* b > 0 */

static inline int nx_month_days(int64_t year, int month)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month == 2 && ((year % 4 == 0 && year % 100 != 0) || year % 400 == 0) ? 29 : days[month - 1];
}

static inline int64_t nx_days_of(int64_t year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year, era = nx_floor_div(y, 400), yoe = y - era * 400;
    int64_t doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static inline nx_civil nx_civil_of(int64_t days)
{
    int64_t z = days + 719468, era = nx_floor_div(z, 146097), doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    int month = (int)(mp < 10 ? mp + 3 : mp - 9);
    return (nx_civil){yoe + era * 400 + (month <= 2 ? 1 : 0), month, (int)(doy - (153 * mp + 2) / 5 + 1)};
}

static inline int nx_weekday(int64_t days) { return (int)(((days + 4) % 7 + 7) % 7); } /* Sunday 0 */
#endif
