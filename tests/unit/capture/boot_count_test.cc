#include "capture/boot_count.h"

#include <gtest/gtest.h>

#include "base/uuid.h"

namespace vmattest::capture {
namespace {

using evidence::Boot;
using evidence::IsResetBetween;

constexpr Uuid kWeb{{1}};
constexpr Uuid kMail{{2}};

TEST(BootCountTest, AResetIsCountedForItsVmAlone) {
  BootCount boots;
  const Boot web = boots.Of(kWeb);
  const Boot mail = boots.Of(kMail);
  EXPECT_EQ(web.listener.size(), evidence::kBootListenerSize);
  EXPECT_NE(web.listener, mail.listener);
  EXPECT_EQ(boots.Of(kWeb), web);
  boots.Reset(kWeb);
  boots.Reset(kWeb);
  EXPECT_EQ(boots.Of(kWeb), (Boot{web.listener, 2}));
  EXPECT_EQ(boots.Of(kMail), mail);
  EXPECT_TRUE(IsResetBetween(web, boots.Of(kWeb)));
  EXPECT_FALSE(IsResetBetween(mail, boots.Of(kMail)));
}

TEST(BootCountTest, WhoseEventsWereMissedIsListenedToAnew) {
  BootCount boots;
  const Boot web = boots.Of(kWeb);
  boots.Reset(kWeb);
  boots.MissedEvents();
  const Boot again = boots.Of(kWeb);
  EXPECT_NE(again.listener, web.listener);
  EXPECT_EQ(again.resets, 0U);
  boots.Reset(kWeb);
  EXPECT_FALSE(IsResetBetween(web, boots.Of(kWeb))) << "nobody can tell";
  EXPECT_TRUE(IsResetBetween(again, boots.Of(kWeb)));
}

TEST(BootCountTest, AnotherRunHasAnotherListener) {
  BootCount boots;
  const Boot web = boots.Of(kWeb);
  const Boot mail = boots.Of(kMail);
  boots.Ended(kWeb);
  boots.Reset(kWeb);
  EXPECT_NE(boots.Of(kWeb).listener, web.listener);
  EXPECT_EQ(boots.Of(kWeb).resets, 0U);
  EXPECT_EQ(boots.Of(kMail), mail);
}

}  // namespace
}  // namespace vmattest::capture
