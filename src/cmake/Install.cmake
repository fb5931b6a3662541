# `cmake --install build/release --prefix /usr`: programs, configuration, units.
include(GNUInstallDirs)
if(VMATTEST_WITH_GRPC)
  install(TARGETS vmattest vmattestd)
endif()
install(FILES config/vmattestd.yaml
        DESTINATION ${CMAKE_INSTALL_FULL_SYSCONFDIR}/vmattest)
install(FILES config/conf.d/50-tcp.yaml.example
        DESTINATION ${CMAKE_INSTALL_FULL_SYSCONFDIR}/vmattest/conf.d)
install(FILES systemd/vmattestd.service DESTINATION lib/systemd/system)
install(FILES systemd/vmattest.sysusers DESTINATION lib/sysusers.d
        RENAME vmattest.conf)
install(FILES systemd/vmattest.tmpfiles DESTINATION lib/tmpfiles.d
        RENAME vmattest.conf)
install(FILES config/polkit/60-vmattest.rules
        DESTINATION ${CMAKE_INSTALL_DATADIR}/vmattest/polkit)
install(FILES README.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR})
